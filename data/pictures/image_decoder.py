"""Decoding of picture bytes, for indexing and for queries alike.

Every picture is returned as 8-bit sRGB, with its EXIF orientation and its colour profile applied, the first frame only,
and transparency composited on white. Its size is checked on the header before any pixel is decoded, and pictures being
decoded share one memory budget (`bounds.py`, `decode_memory.py`). Formats that Pillow does not read are recognised by
their first bytes and read by extras: HEIC (`heif.py`), JPEG XL (`jpeg_xl.py`), SVG drawings (`svg.py`), the first page
of a PDF (`pdf.py`) and camera RAW (`raw.py`).
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from lookalike.data.errors import NotAPicture
from lookalike.data.pictures.bounds import MAX_PIXELS, check_size, needed_bytes, scans_of
from lookalike.data.pictures.cut_jpeg import completed_jpeg, is_padded
from lookalike.data.pictures.decode_memory import decode_memory
from lookalike.data.pictures.embedded_profiles import profile_of, without_png_profile
from lookalike.data.pictures.file_kinds import kind_of
from lookalike.data.pictures.heif import is_heif, register_heif
from lookalike.data.pictures.jpeg_xl import is_jpeg_xl, jpeg_xl_as_png
from lookalike.data.pictures.pdf import first_page, is_pdf
from lookalike.data.pictures.psd import is_psd, shows_transparency
from lookalike.data.pictures.raw import develop, is_raw
from lookalike.data.pictures.rgb_pixels import to_rgb
from lookalike.data.pictures.svg import draw, is_drawing
from lookalike.data.pictures.tiff_pages import chosen_page
from lookalike.data.record_files import is_record_file

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "PILLOW_FORMATS",
    "Picture",
    "check_thumbnail",
    "decode",
    "format_names",
    "naming",
    "read_bytes",
    "reduced_side",
    "thumbnail",
]

MAX_BYTES = 64 * 1024 * 1024
"""Maximum size of a file in bytes; larger files are refused unread."""

THUMBNAIL_SIDE = 384

_FORMAT_NAMES = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, JPEG 2000, PSD"
_EXTRAS = {
    "HEIC": ("pillow_heif",),
    "JPEG XL": ("pillow_jxl", "resource"),
    "SVG": ("resvg_py", "resource"),
    "PDF": ("pypdfium2", "resource"),
    "camera RAW": ("rawpy",),
}
"""Further formats, each with the modules that reading it takes."""

PILLOW_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "PSD")
"""Formats that Pillow may open, by its own names. JPEG includes MPO."""

_LARGE_PIXELS = 16_000_000
_REDUCED_SCALE_MARGIN = 1.5
_SIDEWAYS = (5, 6, 7, 8)
_BAD_PROFILE = "The picture's colour profile is too large or damaged; it was ignored."
_BITMAP = b"BM"
_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", _BITMAP, b"II*\0", b"MM\0*", b"RIFF")


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture: `rgb` as an RGB image, and the original size in pixels, upright and before any reduction.

    `notes` are sentences for people about a picture that was read, but perhaps not as it was meant.
    """

    rgb: Image.Image
    width: int
    height: int
    notes: tuple[str, ...] = ()


def format_names() -> str:
    """Return the names of the formats that this installation reads, for messages."""
    further = (name for name, modules in _EXTRAS.items() if all(map(_is_importable, modules)))
    return ", ".join((_FORMAT_NAMES, *further))


@contextlib.contextmanager
def naming(name: object) -> Iterator[None]:
    """Begin the messages of pictures that cannot be read in the `with` block with `name`.

    Raises:
        NotAPicture: the block raised it.
    """
    try:
        yield
    except NotAPicture as error:
        raise NotAPicture(f"{name}: {error.message}", unread=error.unread, remedy=error.remedy) from error


def read_bytes(path: Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the bytes of a picture file.

    Raises:
        NotAPicture: there is no such file, or it cannot be read, is empty, or is larger than `max_bytes`.
    """
    try:
        if not path.is_file():
            raise NotAPicture(_why_no_file(path))
        if is_record_file(path):
            raise NotAPicture("The file is part of a catalog's records, not a picture.")
        size = path.stat().st_size
        if size > max_bytes:
            raise NotAPicture(f"The file has {size / 1e6:,.0f} MB; at most {max_bytes / 1e6:,.0f} MB are read.")
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise NotAPicture(f"The file cannot be read: {reason}.") from error
    if not content:
        raise NotAPicture("The file is empty.")
    return content


def decode(content: bytes, *, min_side: int | None = None) -> Picture:
    """Decode the bytes of a picture to an upright 8-bit RGB image.

    `min_side` is the side of the model's input in pixels, and allows a reduced picture: a JPEG that is several times
    larger is decoded at a half, a quarter or an eighth of its scale, and any other picture of more than 16 million
    pixels is averaged down. Neither side becomes shorter than `reduced_side(min_side)`. This saves time and memory and
    does not harm the model's own resize.

    Example:
        >>> from io import BytesIO
        >>> file = BytesIO()
        >>> Image.new("L", (40, 30)).save(file, "PNG")
        >>> picture = decode(file.getvalue())
        >>> picture.rgb.mode, picture.width, picture.height
        ('RGB', 40, 30)

    Raises:
        NotAPicture: the bytes are not a picture in a supported format, are truncated, exceed the limits of `bounds.py`,
            or need an extra that is not installed.
    """
    if not content:
        raise NotAPicture("The file is empty.")
    try:
        picture = _mended(content, min_side) if is_padded(content) else None
        return picture or _decode(content, min_side and reduced_side(min_side))
    except NotAPicture:
        raise
    except UnidentifiedImageError as error:
        raise NotAPicture(_describe_unknown(content)) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise NotAPicture(
            f"The picture is too large (too many pixels); at most {MAX_PIXELS / 1e6:.0f} million pixels are decoded."
        ) from error
    except Exception as error:  # a codec given hostile bytes may raise anything
        picture = _mended(content, min_side)
        if picture is not None:
            return picture
        unread = isinstance(error, KeyError) and is_psd(content)  # of 16 bits a channel, for example
        if unread or (content.startswith(_BITMAP) and kind_of(content)):  # a text may begin with these two letters
            raise NotAPicture(_describe_unknown(content)) from error
        raise NotAPicture(f"The picture is damaged or truncated ({error or type(error).__name__}).") from error


def _decode(content: bytes, side: int | None) -> Picture:
    """Decode a picture, reduced if it is much larger than `side`. Raise anything that a codec raises."""
    if is_drawing(content):
        drawn = draw(content)
        return Picture(drawn, drawn.width, drawn.height)
    if is_pdf(content):
        page_rgb, notes = first_page(content)
        return Picture(page_rgb, page_rgb.width, page_rgb.height, notes)
    if is_jpeg_xl(content):
        return _decode(jpeg_xl_as_png(content), side)
    page = chosen_page(content)
    if is_raw(content):
        return Picture(*develop(content, min_side=side, max_pixels=MAX_PIXELS))
    heif = is_heif(content)
    if heif:
        register_heif()
    with Image.open(io.BytesIO(page.content), formats=("HEIF",) if heif else PILLOW_FORMATS) as image:
        if page.number:
            image.seek(page.number)
        width, height = image.size
        check_size(width, height)
        scans = scans_of(image, content)
        if side is not None and image.format in ("JPEG", "MPO"):
            image.draft(None, (side, side))
        with decode_memory.reserve(needed_bytes(image, (width, height), scans)):
            image.load()
            profile = profile_of(image, content)
            # a TIFF is upright once it is loaded, and its size is so before
            turned = image.format != "TIFF" and image.getexif().get(ExifTags.Base.Orientation) in _SIDEWAYS
            ImageOps.exif_transpose(image, in_place=True)
            if image.format == "PSD" and image.mode == "RGBA" and not shows_transparency(content):
                image.putalpha(255)
            rgb, notes = to_rgb(image, profile, min_side=side, white_is_zero=page.white_is_zero)
            if image is not rgb:
                image.im = None  # type: ignore[assignment]  # frees the memory
            if side is not None and width * height > _LARGE_PIXELS:
                factor = min(rgb.size) // side
                rgb = rgb.reduce(factor) if factor > 1 else rgb
    notes = (page.note, *notes) if page.note else notes
    return Picture(rgb, height if turned else width, width if turned else height, notes)


def _mended(content: bytes, min_side: int | None) -> Picture | None:
    """Decode a picture that failed, if it fails for its colour profile or for its missing end; otherwise return None.

    Raises:
        NotAPicture: too little of a JPEG is there.
    """
    plain, note = without_png_profile(content), _BAD_PROFILE
    if plain is None:
        try:
            completed = completed_jpeg(content)
        except NotAPicture:
            raise
        except Exception:  # it fails for another reason
            return None
        if completed is None:
            return None
        plain, note = completed.content, completed.note
    picture = decode(plain, min_side=min_side)
    return replace(picture, notes=(note, *picture.notes))


def reduced_side(min_side: int) -> int:
    """Return the minimum shorter side of a reduced picture in pixels: one and a half times the model's input.

    Rows of 125 photographs decoded this way had a median cosine of 1.0000 with rows of the same photographs decoded at
    twice the input side, and took an eighth less time before the network.
    """
    return round(min_side * _REDUCED_SCALE_MARGIN)


def thumbnail(picture: Image.Image, *, side: int = THUMBNAIL_SIDE) -> bytes:
    """Return an RGB picture as WebP, with sides of at most `side` pixels.

    Pixels are averaged by whole factors before the resize, which is faster and makes no visible difference.
    """
    scale = side / max(picture.size)
    small = picture
    if scale < 1:
        width, height = (max(1, round(length * scale)) for length in picture.size)
        small = picture.resize((width, height), Image.Resampling.HAMMING, reducing_gap=1.0)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=80, method=0)
    return buffer.getvalue()


def check_thumbnail(content: bytes) -> None:
    """Check that bytes are a WebP picture, as `thumbnail` returns it; they are served to browsers as WebP.

    Raises:
        NotAPicture: they have another format, or cannot be decoded.
    """
    if not (content.startswith(b"RIFF") and content[8:12] == b"WEBP"):
        raise NotAPicture("It is not a WebP.")
    decode(content)


def _is_importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # the import of the module is blocked
        return False


def _why_no_file(path: Path) -> str:
    if path.is_symlink() and not path.exists():
        return "It is a link to a file that does not exist."
    return "It is not a regular file." if path.exists() else "There is no such file."


def _describe_unknown(content: bytes) -> str:
    """Return the sentence that refuses a file which no decoder takes."""
    kind = kind_of(content)
    if content.startswith(_SIGNATURES) and kind is None:
        return "The picture is damaged or truncated."
    if kind == "a video":
        return "This is a video, not a picture; index it to search its frames."
    if kind is not None:
        return f"This is {kind}, not a picture in a supported format ({format_names()})."
    return f"This is not a picture in a supported format ({format_names()})."

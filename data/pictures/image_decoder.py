"""Decoding of picture bytes, for indexing and for queries alike.

Every picture is returned as 8-bit RGB, with its EXIF orientation applied, the first frame only, and transparency
composited on white. Its size is checked on the header before any pixel is decoded, and pictures being decoded share one
memory budget (`bounds.py`, `decode_memory.py`). Formats that Pillow does not read are recognised by their first bytes
and read by extras: HEIC (`heif.py`), SVG drawings (`svg.py`) and camera RAW (`raw.py`).
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from lookalike.data.errors import NotAPicture
from lookalike.data.pictures.bounds import MAX_PIXELS, STRIP_PIXELS, check_directory, check_size, needed_bytes, scans_of
from lookalike.data.pictures.decode_memory import decode_memory
from lookalike.data.pictures.heif import is_heif, register_heif
from lookalike.data.pictures.raw import develop, is_raw
from lookalike.data.pictures.svg import draw, is_drawing
from lookalike.data.pictures.video import video_kind
from lookalike.data.record_files import is_record_file

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
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

_FORMAT_NAMES = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, JPEG 2000"
_EXTRAS = {"HEIC": ("pillow_heif",), "SVG": ("resvg_py", "resource"), "camera RAW": ("rawpy",)}
"""Further formats, each with the modules that reading it takes."""

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")  # JPEG includes MPO
_LARGE_PIXELS = 16_000_000
_REDUCED_SCALE_MARGIN = 1.5
_SIDEWAYS = (5, 6, 7, 8)
_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"RIFF")


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture: `rgb` as an RGB image, and the original size in pixels, upright and before any reduction."""

    rgb: Image.Image
    width: int
    height: int


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
        if is_drawing(content):
            drawn = draw(content)
            return Picture(drawn, drawn.width, drawn.height)
        check_directory(content)
        if is_raw(content):
            return Picture(*develop(content, min_side=min_side and reduced_side(min_side), max_pixels=MAX_PIXELS))
        heif = is_heif(content)
        if heif:
            register_heif()
        with Image.open(io.BytesIO(content), formats=("HEIF",) if heif else _FORMATS) as image:
            width, height = image.size
            check_size(width, height)
            scans = scans_of(image, content)
            if min_side is not None and image.format in ("JPEG", "MPO"):
                image.draft(None, (reduced_side(min_side),) * 2)
            with decode_memory.reserve(needed_bytes(image, (width, height), scans)):
                image.load()
                turned = image.getexif().get(ExifTags.Base.Orientation) in _SIDEWAYS  # for a PNG this loads the pixels
                rgb = _to_rgb(image)
                if image is not rgb:
                    image.im = None  # type: ignore[assignment]  # frees the memory
                if min_side is not None and width * height > _LARGE_PIXELS:
                    factor = min(rgb.size) // reduced_side(min_side)
                    rgb = rgb.reduce(factor) if factor > 1 else rgb
    except NotAPicture:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise NotAPicture(
            f"The picture is too large (too many pixels); at most {MAX_PIXELS / 1e6:.0f} million pixels are decoded."
        ) from error
    except UnidentifiedImageError as error:
        raise NotAPicture(_describe_unknown(content)) from error
    except Exception as error:  # a codec given hostile bytes may raise anything
        raise NotAPicture(f"The picture is damaged or truncated ({error or type(error).__name__}).") from error
    return Picture(rgb, height if turned else width, width if turned else height)


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


def _to_rgb(image: Image.Image) -> Image.Image:
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I") or image.mode == "F":
        return _by_strips(image, _to_eight_bits(image))
    if image.has_transparency_data:
        return _by_strips(image, _on_white)
    return image if image.mode == "RGB" else image.convert("RGB")


def _by_strips(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Convert an image to RGB a few rows at a time, so that memory holds no third image of the full size."""
    if image.width * image.height <= STRIP_PIXELS:
        return convert(image).convert("RGB")
    rgb = Image.new("RGB", image.size)
    rows = max(STRIP_PIXELS // image.width, 1)
    for top in range(0, image.height, rows):
        rgb.paste(convert(image.crop((0, top, image.width, min(top + rows, image.height)))), (0, top))
    return rgb


def _on_white(image: Image.Image) -> Image.Image:
    layered = image.convert("RGBA")
    white = Image.new("RGB", layered.size, "white")
    white.paste(layered, mask=layered.getchannel("A"))
    return white


def _to_eight_bits(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """Return a function that scales high-depth grey to 8 bits: 16-bit by its full range, others by their own range."""
    grey = np.asarray(image)
    finite = grey[np.isfinite(grey)] if grey.dtype.kind == "f" else grey
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if grey.dtype.kind != "f" and low >= 0 and high <= 65535:
        low, high = 0.0, 65535.0
    scale = 255 / ((high - low) or 1.0)

    def convert(strip: Image.Image) -> Image.Image:
        scaled = np.nan_to_num((np.asarray(strip, dtype=np.float64) - low) * scale, posinf=255.0, neginf=0.0)
        return Image.fromarray(np.rint(scaled.clip(0, 255)).astype(np.uint8))

    return convert


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
    if content.startswith(_SIGNATURES):
        return "The picture is damaged or truncated."
    if video_kind(content[:16]):
        return "This is a video, not a picture; index it to search its frames."
    start = content[:512].lstrip().lower()
    if b"<html" in start or b"<!doctype html" in start:
        return "This is a web page, not a picture."
    if start.startswith(b"%pdf"):
        return "This is a PDF, not a picture; convert its pages to PNG or JPEG first."
    return f"This is not a picture in a supported format ({format_names()})."

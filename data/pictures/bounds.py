"""Size limits of pictures, checked on the header, and the memory that decoding takes."""

from __future__ import annotations

from PIL import Image

from lookalike.data.errors import NotAPicture
from lookalike.data.pictures.decode_memory import MAX_DECODE_BYTES

__all__ = ["MAX_PIXELS", "MAX_SIDE", "STRIP_PIXELS", "check_size", "needed_bytes", "scans_of"]

MAX_PIXELS = Image.MAX_IMAGE_PIXELS or 89_478_485
"""Maximum number of pixels; larger pictures are refused undecoded. It is Pillow's own limit, about 89 million."""

MAX_SIDE = 65_535
"""Maximum width and height in pixels, as in JPEG; larger pictures are refused undecoded."""

MAX_SCANNED_PIXELS = 20 * MAX_PIXELS
"""Maximum pixels of all scans of a JPEG together. A progressive JPEG has about ten scans, a hostile one a million."""

_BYTES_PER_PIXEL = {
    "PNG": 9.5,
    "BMP": 9.5,
    "GIF": 7.0,
    "TIFF": 14.0,
    "PSD": 14.0,
    "PPM": 14.0,
    "WEBP": 17.5,
    "AVIF": 16.0,
    "HEIF": 16.0,
    "JPEG2000": 25.5,
}
"""Peak memory of decoding, in bytes per pixel: the maximum over all pixel types of the format, plus a margin."""

_JPEG_BYTES_PER_PIXEL = 8.5
_COEFFICIENT_BYTES = 2
_OVERHEAD_BYTES = 1024 * 1024
_CONVERSION_BYTES_PER_PIXEL = 24
STRIP_PIXELS = 1_000_000
"""Number of pixels that are converted to RGB at a time."""

_BLOCK = 32
"""Rows and columns by which decoders pad a picture to whole blocks."""

_START_OF_SCAN = b"\xff\xda\x00"
_TILE_WIDTH, _TILE_LENGTH = 322, 323


def check_size(width: int, height: int) -> None:
    """Check the size of a picture in pixels.

    Raises:
        NotAPicture: a side is longer than `MAX_SIDE`, or there are more than `MAX_PIXELS` pixels.
    """
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise NotAPicture(
            f"The picture is too large ({width:,} x {height:,} pixels); at most {MAX_PIXELS / 1e6:.0f} million pixels "
            f"are decoded, {MAX_SIDE:,} per side."
        )


def scans_of(image: Image.Image, content: bytes) -> int:
    """Return the number of scans of a JPEG, or 1 for any other picture.

    Raises:
        NotAPicture: the scans cover more than `MAX_SCANNED_PIXELS` together.
    """
    if image.format not in ("JPEG", "MPO"):
        return 1
    scans = content.count(_START_OF_SCAN)
    if scans * image.width * image.height > MAX_SCANNED_PIXELS:
        raise NotAPicture(f"The picture has too many scans ({scans:,}).", remedy="Save it again as JPEG or PNG.")
    return scans


def needed_bytes(image: Image.Image, size: tuple[int, int], scans: int) -> int:
    """Return an upper bound of the memory that decoding a picture takes, in bytes.

    `image` is opened but not loaded. `size` is its full size in pixels; a JPEG drafted at a smaller scale has a smaller
    `image.size`.

    Raises:
        NotAPicture: it is more than `MAX_DECODE_BYTES`.
    """
    if image.format in ("JPEG", "MPO"):
        needed = _padded(*image.size) * _JPEG_BYTES_PER_PIXEL
        if scans > 1:  # all coefficients stay in memory until the last scan
            needed += _padded(*size) * _COEFFICIENT_BYTES * len(image.getbands())
    else:
        pixels = _padded(*size)
        if image.format == "TIFF":
            pixels = max(pixels, _tile_pixels(image))
        needed = pixels * _BYTES_PER_PIXEL.get(image.format or "", max(_BYTES_PER_PIXEL.values()))
    needed += _CONVERSION_BYTES_PER_PIXEL * min(_padded(*size), STRIP_PIXELS) + _OVERHEAD_BYTES
    if needed > MAX_DECODE_BYTES:
        raise NotAPicture(
            f"The picture is too large: decoding it would take {needed / 1e9:.1f} GB of memory, more than the "
            f"{MAX_DECODE_BYTES / 1e9:.1f} GB allowed.",
            remedy="Make it smaller, or save it as JPEG.",
        )
    return round(needed)


def _padded(width: int, height: int) -> int:
    return (width + _BLOCK - 1) * (height + _BLOCK - 1)


def _tile_pixels(image: Image.Image) -> int:
    """Return the pixels of one tile of a TIFF, 0 if it has no tiles. A tile may be larger than the picture."""
    tags = image.tag_v2  # type: ignore[attr-defined]  # TIFF only
    return int(tags.get(_TILE_WIDTH, 0)) * int(tags.get(_TILE_LENGTH, 0))

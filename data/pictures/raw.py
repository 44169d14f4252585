"""Camera RAW files (DNG, NEF, CR2, CR3, ARW, RAF and others), developed by LibRaw; an optional extra.

Most of these files are TIFF files with a small preview in place of the picture, so they are recognised before Pillow
sees them.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from lookalike.data.errors import NotAPicture
from lookalike.data.pictures.decode_memory import decode_memory

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["develop", "is_raw"]

_SIGNATURES = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM", b"II\x1a\0\0\0HEAPCCDR")
_TIFF = (b"II*\0", b"MM\0*")
_CANON_RAW_2, _CANON_RAW_3 = b"CR", b"ftypcrx "
_NEW_SUBFILE_TYPE, _PHOTOMETRIC, _SUB_DIRECTORIES, _DNG_VERSION = 254, 262, 330, 50706
_SENSOR = (32803, 34892)  # photometric interpretations: colour filter array, linear raw
_REDUCED = 1
_BYTES_PER_PIXEL, _BYTES_PER_PIXEL_HALVED = 17.0, 7.0
"""Peak memory of developing, in bytes per sensor pixel: at full size, and at half size."""

_SIDEWAYS = (5, 6)


def is_raw(content: bytes) -> bool:
    """Return whether a file holds raw sensor data, by its first bytes or by the first directory of a TIFF."""
    if content.startswith(_SIGNATURES) or content[4:12] == _CANON_RAW_3:
        return True
    if not content.startswith(_TIFF):
        return False
    if content[8:10] == _CANON_RAW_2:
        return True
    try:
        directory = ImageFileDirectory_v2(content[:8])
        file = io.BytesIO(content)
        file.seek(directory.next)
        directory.load(file)
        return (
            _DNG_VERSION in directory
            or directory.get(_PHOTOMETRIC) in _SENSOR
            or (_SUB_DIRECTORIES in directory and directory.get(_NEW_SUBFILE_TYPE) == _REDUCED)
        )
    except Exception:  # a damaged TIFF; Pillow reports it
        return False


def develop(content: bytes, *, min_side: int | None, max_pixels: int) -> tuple[Image.Image, int, int]:
    """Develop a RAW file to upright sRGB with the camera's white balance; return the image, its width and its height.

    The width and height are those of the full size. If both sides of the half size are at least `min_side` pixels, each
    two by two sensor cells become one pixel.

    Raises:
        NotAPicture: the file cannot be developed, has more than `max_pixels`, or LibRaw is not installed.
    """
    rawpy = _rawpy()
    try:
        with rawpy.RawPy() as raw:
            raw.open_buffer(io.BytesIO(content))
            sizes = raw.sizes
            width, height = sizes.width, sizes.height
            if max(width * height, sizes.raw_width * sizes.raw_height) > max_pixels:
                raise NotAPicture(
                    f"The RAW file is too large ({width:,} x {height:,} pixels); "
                    f"at most {max_pixels / 1e6:.0f} million pixels are developed."
                )
            half = min_side is not None and min(width, height) // 2 >= min_side
            bytes_per_pixel = _BYTES_PER_PIXEL_HALVED if half else _BYTES_PER_PIXEL
            with decode_memory.reserve(round(sizes.raw_width * sizes.raw_height * bytes_per_pixel)):
                raw.unpack()
                pixels = raw.postprocess(use_camera_wb=True, output_bps=8, half_size=half)
            turned = sizes.flip in _SIDEWAYS
    except rawpy.LibRawError as error:
        reason = error.args[0] if error.args else error
        message = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise NotAPicture(f"The RAW file is damaged, or its camera is unknown to LibRaw ({message}).") from error
    return Image.fromarray(pixels), height if turned else width, width if turned else height


def _rawpy() -> ModuleType:
    try:
        import rawpy
    except ImportError as error:
        raise NotAPicture(
            "Camera RAW files need an extra that is not installed.",
            unread="Camera RAW files",
            remedy="Install it with: pip install 'lookalike[raw]'",
        ) from error
    return rawpy  # type: ignore[no-any-return,unused-ignore]

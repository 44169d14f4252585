"""The decoder of JPEG XL that `guarded_child.py` runs. It imports nothing of this package."""

from __future__ import annotations

import io

from PIL import Image, TiffImagePlugin  # noqa: F401  # everything is imported before files are closed
from pillow_jxl import JpegXLImagePlugin

__all__ = ["render"]

Image.preinit()
JpegXLImagePlugin.DECODE_THREADS = 0


def render(content: bytes) -> bytes:
    """Decode a picture; return it as PNG, or as TIFF if its pixels are floating-point."""
    written = io.BytesIO()
    image = JpegXLImagePlugin.JXLImageFile(io.BytesIO(content))
    image.load()  # type: ignore[no-untyped-call]
    options = {"icc_profile": image.info.get("icc_profile")}
    if image.jpeg:  # the pixels of a repacked JPEG are not turned yet
        options["exif"] = image.info.get("exif", b"")
    if image.mode == "F":
        image.save(written, "TIFF", **options)
    else:
        converted = image.convert("RGB") if image.mode == "CMYK" else image
        converted.save(written, "PNG", compress_level=1, **options)
    return written.getvalue()

"""The program that `jpeg_xl.py` runs to decode one JPEG XL picture. It is not imported, and imports nothing of ours.

Standard input is the picture, standard output the same picture as PNG, or as TIFF if its pixels are floating-point.
Arguments: the folder of the decoder's package, the processor time in seconds, the memory in bytes.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys


def main(package_folder: str, cpu_seconds: int, memory_bytes: int) -> int:
    """Give up all rights, then decode the picture from standard input."""
    sys.path.append(package_folder)
    import resource

    from PIL import Image, TiffImagePlugin  # noqa: F401  # everything is imported before files are closed
    from pillow_jxl import JpegXLImagePlugin

    Image.preinit()
    JpegXLImagePlugin.DECODE_THREADS = 0
    with contextlib.suppress(ValueError, OSError):  # not every system limits memory
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))  # from here on, neither files nor connections can be opened
    with contextlib.suppress(OSError):
        os.close(os.open("/", os.O_RDONLY))
        return _fail("this system does not keep the decoder from opening files")
    written = io.BytesIO()
    try:
        image = JpegXLImagePlugin.JXLImageFile(io.BytesIO(sys.stdin.buffer.read()))
        image.load()  # type: ignore[no-untyped-call]
        options = {"icc_profile": image.info.get("icc_profile")}
        if image.jpeg:  # the pixels of a repacked JPEG are not turned yet
            options["exif"] = image.info.get("exif", b"")
        if image.mode == "F":
            image.save(written, "TIFF", **options)
        else:
            converted = image.convert("RGB") if image.mode == "CMYK" else image
            converted.save(written, "PNG", compress_level=1, **options)
    except Exception as error:  # a codec given hostile bytes may raise anything
        return _fail(str(error) or type(error).__name__)
    sys.stdout.buffer.write(written.getvalue())
    return 0


def _fail(reason: str) -> int:
    sys.stderr.write(reason)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))

"""The program that `pdf.py` runs to render the first page of one PDF. It is not imported, and imports nothing of ours.

Standard input is the document; standard output the width, the height and the number of pages as big-endian uint32, and
the pixels as BGR. Arguments: the folder of PDFium's package, the longer side in pixels, the processor time in seconds,
the memory in bytes.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys


def main(package_folder: str, side: int, cpu_seconds: int, memory_bytes: int) -> int:
    """Give up all rights, then render the document from standard input."""
    sys.path.append(package_folder)
    import resource

    import pypdfium2

    with contextlib.suppress(ValueError, OSError):  # not every system limits memory
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))  # from here on, neither files nor connections can be opened
    with contextlib.suppress(OSError):
        os.close(os.open("/", os.O_RDONLY))
        return _fail("this system does not keep the renderer from opening files")
    try:
        document = pypdfium2.PdfDocument(sys.stdin.buffer.read())
        page = document[0]
        scale = side / max(*page.get_size(), 1.0)
        bitmap = page.render(scale=scale * (1 - 1 / side), rev_byteorder=False, prefer_bgrx=False)
    except (pypdfium2.PdfiumError, ValueError, IndexError) as error:
        return _fail(str(error))
    width, height, stride = bitmap.width, bitmap.height, bitmap.stride
    pixels = bytes(bitmap.buffer)
    sys.stdout.buffer.write(struct.pack(">III", width, height, len(document)))
    for row in range(height):
        line = pixels[row * stride : row * stride + width * bitmap.n_channels]
        sys.stdout.buffer.write(line if bitmap.n_channels == 3 else bytes(value for value in line for _ in range(3)))
    sys.stdout.flush()
    os._exit(0)  # PDFium's own clean-up is of no use any more


def _fail(reason: str) -> int:
    sys.stderr.write(reason)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))

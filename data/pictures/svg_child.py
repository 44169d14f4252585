"""The program that `svg.py` runs to rasterise one SVG. It is not imported, and imports nothing of this package.

Standard input is the drawing as UTF-8, standard output the PNG. Arguments: the folder of the rasteriser's package, the
longer side in pixels, the processor time in seconds, the memory in bytes.
"""

from __future__ import annotations

import contextlib
import os
import sys


def main(package_folder: str, side: int, cpu_seconds: int, memory_bytes: int) -> int:
    """Drop all privileges, then rasterise the drawing from standard input."""
    sys.path.append(package_folder)
    import resource

    import resvg_py

    with contextlib.suppress(ValueError, OSError):  # not every system limits memory
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))  # from here on, neither files nor connections can be opened
    with contextlib.suppress(OSError):
        os.close(os.open("/", os.O_RDONLY))
        return _fail("this system does not keep the rasteriser from opening files")
    drawing = sys.stdin.buffer.read().decode()
    try:
        png = resvg_py.svg_to_bytes(
            svg_string=drawing, width=side, height=side, dpi=96.0, background="white", skip_system_fonts=True
        )
    except ValueError as error:
        return _fail(str(error))
    sys.stdout.buffer.write(png)
    return 0


def _fail(reason: str) -> int:
    sys.stderr.write(reason)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))

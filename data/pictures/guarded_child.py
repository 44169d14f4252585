"""The program that `guarded_process.py` runs: it gives up the right to open anything, then reads one untrusted file.

It is not imported, and imports nothing of this package. Standard input is the file, and standard output what the
renderer makes of it. Arguments: the renderer, which is a Python file with a function `render`, the folder of the
package that the renderer imports, the processor time in seconds, the memory in bytes, and the renderer's own arguments.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import sys


def main(renderer: str, package_folder: str, cpu_seconds: int, memory_bytes: int, *arguments: int) -> int:
    """Import the renderer, drop all privileges, then render the file from standard input."""
    sys.path.append(package_folder)
    import resource

    render = runpy.run_path(renderer)["render"]
    with contextlib.suppress(ValueError, OSError):  # not every system limits memory
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))  # from here on, neither files nor connections can be opened
    with contextlib.suppress(OSError):
        os.close(os.open("/", os.O_RDONLY))
        return _fail("this system does not keep the program from opening files")
    try:
        written = render(sys.stdin.buffer.read(), *arguments)
    except Exception as error:  # a codec given hostile bytes may raise anything
        return _fail(str(error) or type(error).__name__)
    sys.stdout.buffer.write(written)
    sys.stdout.flush()
    os._exit(0)  # the clean-up of a renderer is of no use any more


def _fail(reason: str) -> int:
    sys.stderr.write(reason)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])))

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ARENAS = """
import ctypes, sys, threading
if sys.argv[2] == "ui":
    from lookalike.ui.process import configure
    configure()
    import lookalike.ui.cli.search_command
gate = threading.Barrier(4)
def work():
    gate.wait()
    bytearray(100_000)
    gate.wait()
threads = [threading.Thread(target=work) for _ in range(4)]
for one in threads: one.start()
for one in threads: one.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


def arenas(path: Path, imported: str) -> int:
    """Return how many places a process takes memory from after some threads took some."""
    subprocess.run([sys.executable, "-c", ARENAS, str(path), imported], cwd=ROOT, check=True)
    return path.read_text().count("<heap nr=")


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the arenas are glibc's")
def test_all_threads_of_the_program_take_memory_from_one_arena(tmp_path: Path) -> None:
    assert arenas(tmp_path / "without", "nothing") > 1
    assert arenas(tmp_path / "with", "ui") == 1

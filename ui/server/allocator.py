"""How this process takes memory from the system."""

from __future__ import annotations

import contextlib
import ctypes
import sys

__all__ = ["share_one_arena"]

_M_ARENA_MAX = -8  # of glibc's malloc.h


def share_one_arena() -> None:
    """Have all threads take memory from one place; it must be asked for before there is a second thread.

    With glibc a thread has an arena of its own, in pieces of 64 MB, less than one map of a batch of pictures: such maps
    are asked of the kernel and given back at every layer. Indexing had 3,200 page faults a picture so, and has 1,100
    with one arena. On other systems than Linux with glibc nothing is done.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)

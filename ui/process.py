"""Settings of the whole process, which only a program may change and a library must not."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import warnings

__all__ = ["configure"]

_M_ARENA_MAX = -8
"""Number of the parameter in glibc's malloc.h."""

_GRADIO = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    # Gradio's queue summarises all events with pandas after each one, for a monitor that is not served here.
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(10**9),
    "GRADIO_ANALYTICS_MAX_EVENTS": "1",
}


def configure() -> None:
    """Set up this process to run Lookalike: memory allocation, warnings and Gradio's environment.

    The command line and `create_app` call it first. Importing any module of Lookalike changes none of this, so a
    program that uses Lookalike as a library keeps its own settings. Calling it again has no further effect.
    """
    _share_one_arena()
    # Pillow only warns of a picture between one and two times its limit, and reads on; a server has to refuse it there.
    warnings.filterwarnings("error", message=r"Image size \(\d+ pixels\) exceeds limit")
    os.environ.update(_GRADIO)  # Gradio reads it when it is imported


def _share_one_arena() -> None:
    """Make all threads allocate from one arena; it takes effect for threads that start later.

    With glibc each thread gets its own arena, which grows in pieces of 64 MB: less than one feature map of a batch of
    pictures, so that maps were requested from the kernel and returned at every layer. Indexing caused 3,200 page faults
    a picture with separate arenas and 1,100 with one. Elsewhere than on Linux with glibc, nothing is done.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)

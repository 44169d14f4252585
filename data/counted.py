"""A number with its noun, as sentences for people have it."""

from __future__ import annotations

__all__ = ["counted"]


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return `count` with thousands separated, and `noun` in the form that the number takes.

    `plural` defaults to `noun` with an s.

    >>> counted(1, "item"), counted(1200, "item"), counted(0, "query", "queries")
    ('1 item', '1,200 items', '0 queries')
    """
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"

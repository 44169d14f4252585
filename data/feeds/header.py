"""The row of a table that names its columns."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["distinct_names", "may_name"]

_SHARE_OF_NAMES = 0.5


def may_name(row: Sequence[str], width: int) -> bool:
    """Return whether a row may name `width` columns: at least half of them have a text in it."""
    named = sum(bool(cell.strip()) for cell in row)
    return named >= max(2 if width > 1 else 1, width * _SHARE_OF_NAMES)


def distinct_names(header: Sequence[str], filled: Sequence[bool]) -> tuple[str | None, ...]:
    """Return a name for each column, or None for a column that has neither a name nor a value.

    `filled` is whether a column has values. Repeated names are numbered, and so are columns that have values only.

        >>> distinct_names(["image", "image", "", ""], [True, True, True, False])
        ('image', 'image 2', 'column 3', None)
    """
    names: list[str | None] = []
    for place, (name, has_values) in enumerate(zip(header, filled, strict=True), start=1):
        if not name and not has_values:
            names.append(None)
            continue
        base, number = name or f"column {place}", 2
        unique = base
        while unique in names or (unique != base and unique in header):
            unique, number = f"{base} {number}", number + 1
        names.append(unique)
    return tuple(names)

"""Dates and times as people write them: ISO 8601, `31.12.2025`, `12/31/2025 10:30`, `2025/12/31`.

In `05/04/2025` the day or the month may come first, which only the column as a whole can tell.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache

__all__ = ["DateOrder", "read_date"]


class DateOrder(StrEnum):
    """The order of the parts of a date with the year last."""

    DAY_FIRST = "day first"
    MONTH_FIRST = "month first"


_PARTS = re.compile(
    r"(\d{1,4})([./-])(\d{1,2})\2(\d{4}|\d{1,2})"
    r"(?:[ T,]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d{1,6})?)?\s*([AaPp][Mm])?)?"
)
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}(?!\d)")


@lru_cache(maxsize=50_000)
def read_date(text: str, order: DateOrder) -> datetime | None:
    """Return the moment of a date, or None if the text is not one in that order; without a time zone it is in UTC.

    The order counts only where the year comes last: `31.12.2025` always has the day first.

        >>> read_date("05/04/2025", DateOrder.MONTH_FIRST).date().isoformat()
        '2025-05-04'
        >>> read_date("31.12.2025", DateOrder.MONTH_FIRST).date().isoformat()
        '2025-12-31'
    """
    if _ISO.match(text):
        return _in_utc(_iso(text))
    match = _PARTS.fullmatch(text)
    if match is None:
        return None
    first, separator, second, third, hour, minute, seconds, half = match.groups()
    if len(first) == 4:
        year, month, day = int(first), int(second), int(third)
    elif len(third) == 4 and len(first) <= 2:
        day_first = separator == "." or order is DateOrder.DAY_FIRST
        year, (day, month) = int(third), (int(first), int(second)) if day_first else (int(second), int(first))
    else:
        return None
    hours = int(hour or 0)
    if half:
        if not 1 <= hours <= 12:
            return None
        hours = hours % 12 + 12 * (half.lower() == "pm")
    try:
        return datetime(year, month, day, hours, int(minute or 0), int(seconds or 0), tzinfo=UTC)
    except ValueError:
        return None


def _iso(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _in_utc(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)

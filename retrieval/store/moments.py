"""Finding the commit that a moment refers to: `as_of` of a search, `older_than` of a purge."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

import numpy as np

from lookalike.data.errors import UsageError
from lookalike.data.field_type import microseconds_of
from lookalike.data.shown_value import shown
from lookalike.retrieval.query import Moment
from lookalike.retrieval.store.records import Records
from lookalike.retrieval.stored_rows import Commit

__all__ = ["commit_of", "oldest_to_keep"]

_AGE = re.compile(r"(\d+)\s*([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def commit_of(records: Records, moment: Moment) -> int:
    """Return the number of the commit that was the newest at a moment.

    Raises:
        UsageError: it is not a moment, it is before the oldest state that is kept, or it is in the future.
    """
    oldest, newest = records.oldest_commit(), records.version()[0]
    if oldest is None:
        raise UsageError("The catalog has no commit yet, so there is no earlier state of it.")
    seq = _commit_of(records, moment, newest)
    if seq < oldest.seq:
        raise UsageError(f"There is no state as of {moment}: the oldest that is kept is {_words(oldest)}.")
    return seq


def oldest_to_keep(records: Records, older_than: Moment | timedelta) -> int:
    """Return the oldest commit to keep when purging history older than a moment or an age such as 30d; 0 keeps all.

    Raises:
        UsageError: it is neither, or it is in the future.
    """
    found = _AGE.fullmatch(older_than.strip().lower()) if isinstance(older_than, str) else None
    if found:
        try:
            older_than = timedelta(**{_UNITS[found[2]]: int(found[1])})
        except OverflowError:
            return 0
    if isinstance(older_than, timedelta):
        if older_than < timedelta():
            raise UsageError("The age is negative; give one such as 30d.")
        seconds = datetime.now(UTC).timestamp() - older_than.total_seconds()
        return records.commit_at(seconds)
    return _commit_of(records, older_than, records.version()[0])


def _commit_of(records: Records, moment: Moment, newest: int) -> int:
    """Return the number of the commit at a moment, 0 before the first."""
    number = _number_of(moment)
    if number is not None:
        if number > newest:
            raise UsageError(f"There is no commit {number} yet: the newest is {newest}.")
        return max(number, 0)
    if isinstance(moment, np.datetime64):
        moment = moment.astype("datetime64[us]").item()
    if not isinstance(moment, date | str):
        raise UsageError(f"A moment is a commit's number or a time, not {shown(moment)}.")
    try:
        seconds = microseconds_of(moment) / 1e6
    except (ValueError, OverflowError):
        raise UsageError(
            f"{shown(moment)} is not a moment; give a commit's number, or a time such as 2026-05-31 or "
            "2026-05-31T12:00:00+02:00."
        ) from None
    if seconds > max(datetime.now(UTC).timestamp(), *(last.time for last in records.commits(1)), 0.0):
        raise UsageError(f"{moment} is in the future.")
    return records.commit_at(seconds)


def _number_of(moment: object) -> int | None:
    if isinstance(moment, bool | np.bool_):
        return None
    if isinstance(moment, int | np.integer):
        return int(moment)
    if isinstance(moment, str) and re.fullmatch(r"\s*-?[0-9]{1,18}\s*", moment):
        return int(moment)
    return None


def _words(commit: Commit) -> str:
    return f"commit {commit.seq} of {commit.when.isoformat(sep=' ', timespec='seconds')}"

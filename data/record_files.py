"""The files of a catalog's records, which only SQLite may open.

When a process closes any descriptor of such a file, the system drops all of SQLite's locks on it. So no path that
comes in, of a picture, a feed or an archive, may lead to one.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["RECORDS", "is_record_file"]

RECORDS = "records.sqlite"
"""The name of the records in a catalog's folder; those of its log and shared memory begin with it."""


def is_record_file(path: Path) -> bool:
    """Return whether a path leads to the records of a catalog, to their log or to their shared memory."""
    return os.path.basename(os.path.realpath(path)).startswith(RECORDS)  # noqa: PTH119  # a fifth of the time

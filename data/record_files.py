"""The SQLite files of a catalog, which only SQLite may open.

When a process closes any descriptor of a file, the operating system drops every POSIX lock that the process holds on
it, including those of SQLite. So no path from outside (a picture, a feed or an archive) may lead to one of these files.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["RECORDS", "is_record_file"]

RECORDS = "records.sqlite"
"""Name of the database in a catalog's folder. The names of its log and shared memory begin with it."""


def is_record_file(path: Path) -> bool:
    """Return whether a path leads to a catalog's database, its write-ahead log or its shared memory."""
    return os.path.basename(os.path.realpath(path)).startswith(RECORDS)  # noqa: PTH119  # a fifth of the time

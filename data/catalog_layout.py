"""The names of the files and folders in a catalog's folder.

`catalog.json` and `records.sqlite` are the catalog; generations and fetched pictures can be made again from elsewhere.
"""

from __future__ import annotations

__all__ = [
    "CATALOG_FILE",
    "FETCHED",
    "GENERATIONS",
    "INDEX_LOCK",
    "OPTIMIZE_LOCK",
    "QUARANTINE",
    "QUERIES",
    "RECORDS",
    "THUMBNAILS",
]

CATALOG_FILE = "catalog.json"
"""The spaces and the models that make their vectors."""

RECORDS = "records.sqlite"
"""The database of items, vectors and history. The names of its log and shared memory begin with it."""

GENERATIONS = "generations"
"""A folder for each state that was prepared for searching."""

THUMBNAILS = "thumbnails"
"""Small pictures for screens, by image id."""

FETCHED = "fetched"
"""Pictures that were fetched from the web, and what is known about their addresses."""

QUERIES = "queries"
"""Judged queries, with their pictures."""

QUARANTINE = "quarantine"
"""What `verify --repair` took out of the records."""

INDEX_LOCK = "index.lock"
"""Held by the process that indexes into the catalog."""

OPTIMIZE_LOCK = "optimize.lock"
"""Held by the process that builds a generation."""

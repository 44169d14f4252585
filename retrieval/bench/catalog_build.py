"""Building a made-up catalogue through the public API, and what it takes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from lookalike.retrieval.bench.synthetic import Synthetic
from lookalike.retrieval.catalog import Catalog

__all__ = ["Built", "build"]


@dataclass(frozen=True, slots=True)
class Built:
    """Seconds until all vectors were in, seconds until the index was there, and bytes on disk."""

    add_s: float
    index_s: float
    bytes_on_disk: int


def build(folder: Path, made: Synthetic, index: str) -> Built:
    """Add all rows to a new catalog and optimize it; the making of the rows is not timed."""
    add_s = 0.0
    with Catalog.create(folder, dim=made.dim) as catalog:
        for chunk in made.chunks():
            keys, fields = chunk.keys, chunk.fields
            started = time.perf_counter()
            catalog.add_vectors(keys, chunk.vectors, fields)
            add_s += time.perf_counter() - started
        started = time.perf_counter()
        catalog.optimize(index=index)
        index_s = time.perf_counter() - started
    with Catalog.open(folder) as catalog:  # closing has folded what SQLite keeps beside the records into them
        size = catalog.info().bytes_on_disk
    return Built(round(add_s, 3), round(index_s, 3), size)

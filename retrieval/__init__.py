"""The catalogue: items and vectors in, hits out."""

from __future__ import annotations

from lookalike.retrieval.catalog import Catalog
from lookalike.retrieval.query import CatalogInfo, Hit, Results, StoredItem
from lookalike.retrieval.store.purge import PurgeReport
from lookalike.retrieval.stored_rows import Commit

__all__ = ["Catalog", "CatalogInfo", "Commit", "Hit", "PurgeReport", "Results", "StoredItem"]

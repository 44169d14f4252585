"""The catalogue: items and vectors in, hits out."""

from __future__ import annotations

from retrieval.catalog import Catalog
from retrieval.query import CatalogInfo, Hit, Results, StoredItem
from retrieval.records.purging import PurgeReport
from retrieval.records.rows import Commit

__all__ = ["Catalog", "CatalogInfo", "Commit", "Hit", "PurgeReport", "Results", "StoredItem"]

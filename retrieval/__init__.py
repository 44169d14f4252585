"""The catalogue: items and vectors in, hits out."""

from __future__ import annotations

from retrieval.catalog import Catalog
from retrieval.purging import PurgeReport
from retrieval.query import CatalogInfo, Hit, Results, StoredItem
from retrieval.rows import Commit

__all__ = ["Catalog", "CatalogInfo", "Commit", "Hit", "PurgeReport", "Results", "StoredItem"]

"""The catalogue: items and vectors in, hits out."""

from __future__ import annotations

from retrieval.catalog import Catalog
from retrieval.query import CatalogInfo, Hit, Results, StoredItem

__all__ = ["Catalog", "CatalogInfo", "Hit", "Results", "StoredItem"]

"""The catalogue: items and vectors in, hits out."""

from __future__ import annotations

from retrieval.catalog import Catalog, CatalogInfo, StoredItem
from retrieval.query import Hit, Results

__all__ = ["Catalog", "CatalogInfo", "Hit", "Results", "StoredItem"]

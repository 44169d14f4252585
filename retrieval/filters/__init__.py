"""The filter language: Milvus's boolean expressions, read, checked, computed over columns, and said in words."""

from __future__ import annotations

from retrieval.filters.conditions import Condition
from retrieval.filters.filter import Filter

__all__ = ["Condition", "Filter"]

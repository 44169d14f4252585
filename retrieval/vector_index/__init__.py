"""Vectors and the indexes over them. No other part of the project uses Faiss.

One array of vectors serves the exact search, the refinement of candidates, and reads of single vectors.
"""

from __future__ import annotations

from lookalike.retrieval.vector_index.approximate import Approximate, Found
from lookalike.retrieval.vector_index.index_builder import Before, build_approximate
from lookalike.retrieval.vector_index.kinds import EXACT, IndexKind, Metric
from lookalike.retrieval.vector_index.selection import Selection
from lookalike.retrieval.vector_index.single_query import FoundOne
from lookalike.retrieval.vector_index.stages import exactly_followed, followed, stages
from lookalike.retrieval.vector_index.vectors import Vectors

__all__ = [
    "EXACT",
    "Approximate",
    "Before",
    "Found",
    "FoundOne",
    "IndexKind",
    "Metric",
    "Selection",
    "Vectors",
    "build_approximate",
    "exactly_followed",
    "followed",
    "stages",
]

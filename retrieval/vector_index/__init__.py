"""Vectors and the indexes over them; Faiss, and nothing else of the project touches it.

    kinds        metrics and kinds of index, by name
    best         the best rows for many queries, of blocks of scores
    exact        one array of vectors, searched exactly
    wide         the same where float16 does not hold them
    selection    the rows that a filter leaves, in the forms that searches need
    codes        the same vectors again in some 32 bytes each: to find candidates among few or many rows
    visiting     an index that visits a part of the rows
    stages       answers of any length that begin alike
    approximate  the choice between all these by measured cost
    one_query    one query at a time, by the shortest way through Python
    quantizer    the centroids of its lists
    calibration  what the choice goes by: recall and cost of each setting
    building     an index made from vectors
    measuring    its calibration, measured
    ranking      recall of an index of codes with any setting, counted in one scan

One array of vectors serves all: the exact search, the refinement of candidates, and reading a vector back.
"""

from __future__ import annotations

from lookalike.retrieval.vector_index.approximate import Approximate, Found
from lookalike.retrieval.vector_index.index_builder import Before, build_approximate
from lookalike.retrieval.vector_index.kinds import IndexKind, Metric
from lookalike.retrieval.vector_index.selection import Selection
from lookalike.retrieval.vector_index.single_query import FoundOne
from lookalike.retrieval.vector_index.stages import exactly_followed, followed, stages
from lookalike.retrieval.vector_index.vectors import Vectors

__all__ = [
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

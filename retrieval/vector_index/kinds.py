"""Metrics and kinds of index by name."""

from __future__ import annotations

from enum import StrEnum

import faiss
import numpy as np
from numpy.typing import NDArray

__all__ = ["EXACT", "IndexKind", "Metric"]

EXACT = 1.0
"""The recall that only an exhaustive search has."""


class Metric(StrEnum):
    """How two vectors are compared; a score is always the larger the better."""

    COSINE = "cosine"
    IP = "ip"
    L2 = "l2"

    @property
    def faiss(self) -> int:
        """The number that Faiss calls it by."""
        return int(faiss.METRIC_L2 if self is Metric.L2 else faiss.METRIC_INNER_PRODUCT)

    def shown(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return scores of single queries as they are reported: a cosine lies between -1 and 1.

        Unit vectors are stored in float16, so a computed one may be beyond that by 0.001. The order does not change.
        """
        return np.minimum(np.maximum(scores, -1), 1) if self is Metric.COSINE else scores


class IndexKind(StrEnum):
    """What stands over the vectors: nothing (every search is exact), or an index that finds most of the nearest.

    `IVF_PQ` keeps short codes in lists by nearest centroid (Jégou, Douze and Schmid, 2011,
    doi:10.1109/TPAMI.2010.57), `IVF_SQ8` and `IVF_FLAT` the vectors themselves in 8 bits and in 16 bits a number;
    `HNSW` (Malkov and Yashunin, arXiv:1603.09320) and `NSG` (Fu et al., arXiv:1707.00143) are graphs. `DISK` is
    `IVF_PQ` that leaves the vectors on the disk and reads those of the candidates only.
    """

    AUTO = "auto"
    FLAT = "flat"
    IVF_FLAT = "ivf_flat"
    IVF_SQ8 = "ivf_sq8"
    IVF_PQ = "ivf_pq"
    HNSW = "hnsw"
    NSG = "nsg"
    DISK = "disk"

    @property
    def is_graph(self) -> bool:
        """Whether rows are found by walking from neighbour to neighbour."""
        return self in (IndexKind.HNSW, IndexKind.NSG)

    @property
    def has_codes(self) -> bool:
        """Whether its lists have the codes of the rows."""
        return self in (IndexKind.IVF_PQ, IndexKind.DISK)

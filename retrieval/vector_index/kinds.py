"""The metrics and index kinds that can be chosen by name."""

from __future__ import annotations

from enum import StrEnum

import faiss
import numpy as np
from numpy.typing import NDArray

__all__ = ["EXACT", "IndexKind", "Metric"]

EXACT = 1.0
"""The recall that only an exhaustive search reaches."""


class Metric(StrEnum):
    """How two vectors are compared. Larger scores are better under every metric."""

    COSINE = "cosine"
    IP = "ip"
    L2 = "l2"

    @property
    def faiss(self) -> int:
        """Faiss's constant for this metric."""
        return int(faiss.METRIC_L2 if self is Metric.L2 else faiss.METRIC_INNER_PRODUCT)

    def shown(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores of single queries as they are reported: a cosine is clipped to between -1 and 1.

        Unit vectors are stored in float16, so a computed cosine can exceed 1 by 0.001. The order does not change.
        """
        return np.minimum(np.maximum(scores, -1), 1) if self is Metric.COSINE else scores


class IndexKind(StrEnum):
    """Which index is built over the vectors: none (`FLAT`, every search is exact) or an approximate one.

    `IVF_PQ` keeps short codes in lists by nearest centroid (Jégou, Douze and Schmid, 2011, doi:10.1109/TPAMI.2010.57).
    `IVF_SQ8` and `IVF_FLAT` keep the vectors themselves, at 8 and 16 bits a number. `HNSW` (Malkov and Yashunin,
    arXiv:1603.09320) and `NSG` (Fu et al., arXiv:1707.00143) are graphs. `DISK` is `IVF_PQ` with the vectors left on
    the disk: a search reads only those of its candidates.
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
        """Whether the index keeps short codes of the rows in lists."""
        return self in (IndexKind.IVF_PQ, IndexKind.DISK)

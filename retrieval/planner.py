"""How to search a segment: scan what the filter leaves, or ask the approximate index with the filter inside."""

from __future__ import annotations

from dataclasses import dataclass

from retrieval.query import EXACT

__all__ = ["Plan", "choose"]

SCAN_ROWS = 4_000
"""Up to so many surviving rows a scan costs less than walking an index with the filter against it.

Measured over 200,000 vectors of 512 dimensions, IVF_PQ: with 9,000 to 19,000 survivors the index answers 1.4 to 3.8
times as many queries as a scan at a recall of 0.99, with 2,000 the scan is as quick and exact.
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """The choice: `scan` every surviving row or search the index; `words` say so to people."""

    scan: bool
    words: str


def choose(*, index: str | None, rows: int, survivors: int, k: int, recall: float) -> Plan:
    """Choose for `rows` rows of which `survivors` pass the filter, `k` wanted, by an index of that kind or none."""
    passing = f"{survivors:,} of {rows:,}" if survivors < rows else f"{rows:,}"
    if index is None or recall >= EXACT or survivors <= max(SCAN_ROWS, 4 * k):
        return Plan(True, f"exact scan of {passing} vectors")
    return Plan(False, f"{index} search of {passing} vectors for recall {recall:g}")

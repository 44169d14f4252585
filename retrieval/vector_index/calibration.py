"""Measurements made when an index is built: the recall that each setting reaches, and its cost.

The queries are rows of the index, each left out of its own answer. The filters are random, of several selectivities.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from lookalike.retrieval.vector_index.stages import FIRST_STAGE

__all__ = ["RECALLS", "SHARES", "Calibration", "Setting", "Training", "cheapest", "enough", "recall_of_rows"]

RECALLS = (0.9, 0.95, 0.99)
SHARES = (1.0, 0.5, 0.2, 0.1)
"""The shares of the rows that the random filters leave."""

_MARGIN = 0.018
"""Margin by which a setting must exceed a recall to count as reaching it: other queries may do worse."""

_UNMEASURED = 1.25
"""Extra effort, as a factor, for more hits than were measured, to be on the safe side."""

_LOOKED_AT = 5
"""Number of sufficient efforts that are timed, from the least on: visiting more lists may need fewer candidates."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How hard to search.

    `effort` is the number of lists probed, or of candidates that a graph keeps. `refined` is the number of candidates
    for each hit that are compared by their true vectors.
    """

    effort: int
    refined: int
    recall: float = 1.0
    microseconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Training:
    """When an index was trained on its vectors (`time`, in seconds since 1970) and on how many `rows`.

    `index` and `codes` are settings with the recall that they reached then, among all rows; an index whose rows have
    changed since is compared with them. Each is None if there was nothing to train, or if no setting was sufficient.
    """

    time: float
    rows: int
    index: Setting | None
    codes: Setting | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """Settings of the index by share and recall, `refined` of the codes by recall, and costs of scans in microseconds.

    A cost is a pair, fixed and per row, of scanning packed vectors (`vector_cost`) or codes (`code_cost`). `training`
    is None if the index was built by an older version, which did not record it.
    """

    index: Mapping[float, Mapping[float, Setting]]
    codes: Mapping[float, int]
    vector_cost: tuple[float, float]
    code_cost: tuple[float, float]
    training: Training | None = None

    def setting(self, share: float, recall: float, hits: int = FIRST_STAGE) -> Setting | None:
        """Return the cheapest setting for a filter that leaves `share` of the rows, or None if none reaches `recall`.

        Settings were measured for 10 hits. The best 100 of all rows lie as far around a query as the best 10 of a tenth
        of the rows, so a search for more `hits` is planned as if the filter left fewer rows.

        Between two measured shares the setting is interpolated by the logarithm of the share; below all of them, effort
        grows in proportion as the share shrinks. Growing it only with the square root, a graph of 6,000 vectors reached
        a recall of 84% at a twentieth, where 95% was asked for.
        """
        share *= min(FIRST_STAGE / hits, 1.0)
        smaller = max((measured for measured in self.index if measured <= share), default=min(self.index))
        larger = min((measured for measured in self.index if measured >= share), default=smaller)
        narrow, broad = (self._reaching(measured, recall) for measured in (smaller, larger))
        if narrow is None or broad is None:
            return narrow
        if smaller > share:
            wider = smaller / max(share, 1e-9) * (_UNMEASURED if hits > FIRST_STAGE else 1.0)
            return replace(narrow, effort=int(np.ceil(narrow.effort * wider)), microseconds=narrow.microseconds * wider)
        if smaller == larger:
            return narrow
        way = float(np.log(share / smaller) / np.log(larger / smaller))
        return Setting(
            int(np.ceil(narrow.effort + way * (broad.effort - narrow.effort))),
            int(np.ceil(narrow.refined + way * (broad.refined - narrow.refined))),
            min(narrow.recall, broad.recall),
            narrow.microseconds + way * (broad.microseconds - narrow.microseconds),
        )

    def _reaching(self, measured: float, recall: float) -> Setting | None:
        """Return the cheapest setting for a share that was measured, or None."""
        reached = [target for target in self.index[measured] if target >= recall]
        return self.index[measured][min(reached)] if reached else None

    def refined(self, recall: float) -> int | None:
        """Return how many candidates by code for each hit reach this recall, or None if no number does."""
        reached = [target for target in self.codes if target >= recall]
        return self.codes[min(reached)] if reached else None

    def to_json(self) -> bytes:
        """Return the calibration as JSON."""
        settings = {
            str(share): {str(recall): asdict(setting) for recall, setting in of_recall.items()}
            for share, of_recall in self.index.items()
        }
        codes = {str(recall): refined for recall, refined in self.codes.items()}
        costs = {"vector_cost": self.vector_cost, "code_cost": self.code_cost}
        training = None if self.training is None else asdict(self.training)
        facts = {"index": settings, "codes": codes, **costs, "training": training}
        return orjson.dumps(facts, option=orjson.OPT_INDENT_2)

    @classmethod
    def from_json(cls, text: bytes) -> Calibration:
        """Read the JSON that `to_json` returned.

        Raises:
            ValueError, KeyError, TypeError: `text` is not a calibration.
        """
        read = orjson.loads(text)
        settings = {
            float(share): {float(recall): Setting(**setting) for recall, setting in of_recall.items()}
            for share, of_recall in read["index"].items()
        }
        codes = {float(recall): int(refined) for recall, refined in read["codes"].items()}
        (fixed, each), (code_fixed, code_each) = read["vector_cost"], read["code_cost"]
        costs = (float(fixed), float(each)), (float(code_fixed), float(code_each))
        training = read.get("training")
        return cls(settings, codes, *costs, None if training is None else _training(training))


def _training(read: Mapping[str, Any]) -> Training:
    index, codes = (None if read[name] is None else Setting(**read[name]) for name in ("index", "codes"))
    return Training(float(read["time"]), int(read["rows"]), index, codes)


def recall_of_rows(found: Iterable[NDArray[np.int64]], truth: Iterable[NDArray[np.int64]]) -> float:
    """Return the share of the true rows that were found, averaged over queries."""
    wanted, given = _matrix(truth, -1), _matrix(found, -2)
    counts = np.count_nonzero(wanted >= 0, axis=1)
    hits = np.count_nonzero((wanted[:, :, None] == given[:, None, :]).any(axis=2), axis=1)
    asked = counts > 0
    return float(np.mean(hits[asked] / counts[asked])) if asked.any() else 1.0


def _matrix(rows: Iterable[NDArray[np.int64]], missing: int) -> NDArray[np.int64]:
    """Stack arrays of row numbers into a matrix, filling shorter ones up with `missing`."""
    lines = list(rows)
    matrix = np.full((len(lines), max(map(len, lines), default=0)), missing, dtype=np.int64)
    for line, some in zip(matrix, lines, strict=True):
        line[: len(some)] = np.where(some < 0, missing, some)
    return matrix


def enough(measured: float, recall: float) -> bool:
    """Return whether a measured recall exceeds `recall` by the margin."""
    return measured >= min(recall + _MARGIN, (1 + recall) / 2)


def cheapest(
    efforts: Sequence[int],
    refined: Sequence[int],
    measure: Callable[[int, int], float],
    cost: Callable[[int, int], float],
    before: Mapping[float, Setting] | None = None,
) -> dict[float, Setting]:
    """Find the cheapest setting for each recall. A recall that no setting reaches is left out.

    `measure(effort, candidates)` returns the recall, which grows with both, and `cost(effort, candidates)` the
    microseconds. Bisection finds the least effort that is enough with the most candidates; then the fewest candidates
    that are enough are found for that effort and a few greater ones. Given the settings found `before` for nearly the
    same index, only those are tried, and greater ones where they are no longer enough.
    """
    known: dict[tuple[int, int], float] = {}

    def reaches(effort: int, candidates: int, recall: float) -> bool:
        if (effort, candidates) not in known:
            known[effort, candidates] = measure(effort, candidates)
        return enough(known[effort, candidates], recall)

    best: dict[float, Setting] = {}
    for recall in RECALLS if before is None else sorted(before):
        tried, fewer = list(efforts), list(refined)
        if before is not None:
            least = before[recall]
            tried = [effort for effort in efforts if effort >= least.effort]
            fewer = [number for number in refined if number >= least.refined]
            if reaches(least.effort, least.refined, recall):
                tried, fewer = [least.effort], [least.refined]
        first = bisect_left(tried, True, key=lambda effort: reaches(effort, fewer[-1], recall))
        if first == len(tried):
            break
        for effort in tried[first : first + (_LOOKED_AT if before is None else 1)]:
            candidates = next(number for number in fewer if reaches(effort, number, recall) or number == fewer[-1])
            microseconds = cost(effort, candidates)
            if recall not in best or microseconds < best[recall].microseconds:
                reached = round(known[effort, candidates], 4)
                best[recall] = Setting(effort, candidates, reached, round(microseconds, 1))
    return best

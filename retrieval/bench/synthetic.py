"""Made-up catalogues of any size for benchmarks: vectors as a picture model gives them, and fields to filter by.

The vectors of such models lie in a narrow cone, in clusters, and most of what tells them apart is in a few tens of
directions. So here: centres in a subspace whose spectrum decays, rows around them in that subspace, a little noise in
all directions, one common mean, and length 1. Everything follows from the seed, and rows are made a chunk at a time: a
larger catalogue begins with the rows of a smaller one, and none has to fit in the memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from operator import eq, ge, lt

import numpy as np
from numpy.typing import NDArray

from lookalike.data.item import Value
from lookalike.models import Matrix, unit_rows

__all__ = ["CHUNK_ROWS", "Columns", "Condition", "QueryKind", "Synthetic", "SyntheticRows", "Workload"]

CHUNK_ROWS = 20_000

CATEGORIES, BRANDS, TOPICS = 100, 1_000, 20
_CLUSTERS = 2_000
_SUBSPACE = 60
_DECAY = 0.35
_SPREAD = 0.9
_NOISE = 0.4
_CONE = 0.5
_OFF_TOPIC = 0.1
_WANTED_TOPIC_SHARE = 0.05
_PRICE_BAND = (20.09, 25.88)
"""A tenth of the prices: from the median of the lognormal(3, 1) to its 0.6 quantile."""

_SIGNS = {"==": eq, ">=": ge, "<": lt}
_LETTERS = {"category": "c", "brand": "b", "topic": "t"}
_ROWS, _QUERIES = 1, 2

Columns = Mapping[str, NDArray[np.generic]]
"""Fields as arrays of one length: category, brand and topic as numbers (int16), price float64, in_stock bool."""


class QueryKind(StrEnum):
    """Where queries lie: anywhere, or in clusters that are of the chosen topic, or in clusters of others."""

    ANY = "any"
    OWN = "own"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison of a field; of category, brand and topic `value` is the number in the name."""

    field: str
    sign: str
    value: int | float | bool

    @property
    def stored(self) -> str | int | float | bool:
        """The value as a field holds it, with the name in place of its number."""
        return f"{_LETTERS[self.field]}{self.value}" if self.field in _LETTERS else self.value

    @property
    def text(self) -> str:
        """The condition in the filter language."""
        stored = self.stored
        if isinstance(stored, bool):
            shown = str(stored).lower()
        else:
            shown = f'"{stored}"' if isinstance(stored, str) else repr(stored)
        return f"{self.field} {self.sign} {shown}"

    def mask(self, columns: Columns) -> NDArray[np.bool_]:
        """Evaluate the condition, bool [rows]."""
        return np.asarray(_SIGNS[self.sign](columns[self.field], self.value), dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class Workload:
    """A filter, all of whose conditions must hold, and the kind of queries that are asked under it."""

    name: str
    conditions: tuple[Condition, ...] = ()
    queries: QueryKind = QueryKind.ANY

    @property
    def filter(self) -> str | None:
        """The filter in the filter language; None: everything may be found."""
        return " and ".join(condition.text for condition in self.conditions) or None

    def mask(self, columns: Columns) -> NDArray[np.bool_] | None:
        """Evaluate the filter on columns, bool [rows]; None: everything may be found."""
        if not self.conditions:
            return None
        mask = self.conditions[0].mask(columns)
        for condition in self.conditions[1:]:
            mask = mask & condition.mask(columns)
        return mask


@dataclass(frozen=True, slots=True)
class SyntheticRows:
    """Some rows side by side, from row `start` on: unit vectors, float32 [rows, dim], and their columns."""

    start: int
    vectors: Matrix
    columns: Columns

    @property
    def keys(self) -> list[str]:
        """The keys: the numbers of the rows."""
        return [str(row) for row in range(self.start, self.start + len(self.vectors))]

    @property
    def fields(self) -> dict[str, Sequence[Value]]:
        """The columns as a catalog takes them, with names in place of numbers."""
        return {
            name: [f"{_LETTERS[name]}{number}" for number in values.tolist()] if name in _LETTERS else values.tolist()
            for name, values in self.columns.items()
        }


@dataclass(frozen=True)
class Synthetic:
    """A made-up catalogue of `count` rows of `dim` numbers."""

    count: int
    dim: int = 512
    seed: int = 7

    def chunks(self) -> Iterator[SyntheticRows]:
        """Make all rows, `CHUNK_ROWS` at a time."""
        for number, start in enumerate(range(0, self.count, CHUNK_ROWS)):
            random = np.random.default_rng([self.seed, _ROWS, number])
            clusters = random.choice(_CLUSTERS, size=CHUNK_ROWS, p=self._weights)
            vectors = self._around(clusters, random)
            topic = np.where(
                random.random(CHUNK_ROWS) < _OFF_TOPIC, random.integers(0, TOPICS, CHUNK_ROWS), self._topics[clusters]
            )
            ranks = 1 / np.arange(1, CATEGORIES + 1)
            columns: dict[str, NDArray[np.generic]] = {
                "category": random.choice(CATEGORIES, size=CHUNK_ROWS, p=ranks / ranks.sum()).astype(np.int16),
                "brand": random.integers(0, BRANDS, CHUNK_ROWS).astype(np.int16),
                "topic": topic.astype(np.int16),
                "price": np.round(random.lognormal(3, 1, CHUNK_ROWS), 2),
                "in_stock": random.random(CHUNK_ROWS) < 0.5,
            }
            kept = min(CHUNK_ROWS, self.count - start)
            yield SyntheticRows(start, vectors[:kept], {name: values[:kept] for name, values in columns.items()})

    def columns(self) -> Columns:
        """Make the columns of all rows; the vectors are made and dropped a chunk at a time."""
        parts = [chunk.columns for chunk in self.chunks()]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def queries(self, kind: QueryKind, count: int) -> Matrix:
        """Make queries from the same clusters as the rows, unit float32 [count, dim]."""
        random = np.random.default_rng([self.seed, _QUERIES, list(QueryKind).index(kind)])
        weights = self._weights
        if kind is not QueryKind.ANY:
            weights = weights * ((self._topics == self.topic) == (kind is QueryKind.OWN))
        return self._around(random.choice(_CLUSTERS, size=count, p=weights / weights.sum()), random)

    @property
    def workloads(self) -> list[Workload]:
        """Seven filters from none to one that leaves a thousandth; the last two go with and against the vectors."""
        category = Condition("category", "==", 1)
        low, high = _PRICE_BAND
        topic = (Condition("topic", "==", self.topic),)
        return [
            Workload("none"),
            Workload("50%", (Condition("in_stock", "==", True),)),
            Workload("10%", (category,)),
            Workload("1%", (category, Condition("price", ">=", low), Condition("price", "<", high))),
            Workload("0.1%", (Condition("brand", "==", 17),)),
            Workload("own topic", topic, QueryKind.OWN),
            Workload("other topic", topic, QueryKind.OTHER),
        ]

    @cached_property
    def topic(self) -> int:
        """The topic that is filtered by: the one whose share is nearest to a twentieth."""
        shares = np.bincount(self._topics, weights=self._weights, minlength=TOPICS)
        return int(np.abs(shares * (1 - _OFF_TOPIC) + _OFF_TOPIC / TOPICS - _WANTED_TOPIC_SHARE).argmin())

    @cached_property
    def _parts(self) -> dict[str, NDArray[np.float32]]:
        """What all rows have in common: the subspace, its spectrum, the centres, the topics' centres, the mean."""
        random = np.random.default_rng(self.seed)
        width = min(_SUBSPACE, self.dim)
        spectrum = np.arange(1, width + 1) ** -_DECAY
        spectrum /= np.linalg.norm(spectrum)
        subspace, _ = np.linalg.qr(random.standard_normal((self.dim, width)))
        mean = random.standard_normal(self.dim)
        parts = {
            "subspace": subspace.T,
            "spectrum": spectrum,
            "centres": random.standard_normal((_CLUSTERS, width)) * spectrum,
            "topics": random.standard_normal((TOPICS, width)) * spectrum,
            "mean": mean * (_CONE / np.linalg.norm(mean)),
        }
        return {name: np.ascontiguousarray(part, dtype=np.float32) for name, part in parts.items()}

    @cached_property
    def _weights(self) -> NDArray[np.float64]:
        """How large each cluster is: some are several times as large as others."""
        weights = np.random.default_rng([self.seed, 0]).permutation(np.arange(1, _CLUSTERS + 1) ** -0.4)
        return np.asarray(weights / weights.sum(), dtype=np.float64)

    @cached_property
    def _topics(self) -> NDArray[np.int64]:
        """The topic of each cluster: that of the nearest topic's centre."""
        centres, topics = self._parts["centres"], self._parts["topics"]
        return np.asarray((np.square(topics).sum(axis=1) - 2 * centres @ topics.T).argmin(axis=1), dtype=np.int64)

    def _around(self, clusters: NDArray[np.int64], random: np.random.Generator) -> Matrix:
        """Make one row near the centre of each of these clusters."""
        parts = self._parts
        inside = random.standard_normal((len(clusters), len(parts["spectrum"])), dtype=np.float32)
        inside *= _SPREAD * parts["spectrum"]
        inside += parts["centres"][clusters]
        rows = random.standard_normal((len(clusters), self.dim), dtype=np.float32)
        rows *= np.float32(_NOISE / self.dim**0.5)
        rows += inside @ parts["subspace"]
        rows += parts["mean"]
        return unit_rows(rows)

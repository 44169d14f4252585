"""The quality of search on a catalogue: the usual measures, computed on judged queries.

recall@k is the share of a query's relevant items among the first k hits, out of at most k possible ones. MRR is the
mean of 1 / rank of the first relevant hit. nDCG@10 counts a relevant hit at rank r as 1 / log2(r + 1), relative to the
best possible order (Järvelin and Kekäläinen, 2002, doi:10.1145/582415.582418).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lookalike.data.errors import FeedError, LookalikeError
from lookalike.retrieval.core import Core
from lookalike.retrieval.evaluation.judged_queries import JudgedQuery
from lookalike.retrieval.progress import Progress, silent
from lookalike.retrieval.query import Query
from lookalike.retrieval.results import Results

__all__ = ["Evaluation", "Search", "evaluate", "evaluated"]

_DEPTH = 10


Search = Callable[[Query], Results]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Means over all queries, 0 to 1; search times in ms; `unknown` is the number of relevant keys without an item.

    >>> measures = catalog.evaluate("queries.csv")
    >>> measures.queries, measures.recall_at_1, measures.mrr, measures.ndcg_at_10
    (3, 1.0, 1.0, 1.0)
    """

    queries: int
    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    mrr: float
    ndcg_at_10: float
    p50_ms: float
    p95_ms: float
    unknown: int


def evaluate(
    core: Core, queries: Sequence[JudgedQuery], *, limit: int = _DEPTH, search: Search | None = None
) -> Iterator[Evaluation | int]:
    """Search for each query and measure; yield the number done after each, and at the end the `Evaluation`.

    `search` replaces the catalog's own search, for example with other models.

    Raises:
        FeedError: a query cannot be searched.
    """
    search = search or core.search
    depth = max(limit, _DEPTH)
    measures = np.zeros((len(queries), 5))
    took_ms = np.zeros(len(queries))
    known = set(core.records.items_of_keys(sorted({key for query in queries for key in query.relevant})))
    for place, query in enumerate(queries):
        try:
            results = search(_query(query, depth))
        except LookalikeError as error:
            raise FeedError(f"Query {place + 1} cannot be searched: {error.message}", remedy=error.remedy) from error
        took_ms[place] = results.took_ms
        measures[place] = _measures([key in query.relevant for key in results.keys], len(query.relevant))
        yield place + 1
    recall_1, recall_5, recall_10, mrr, ndcg = (float(mean) for mean in measures.mean(axis=0))
    unknown = sum(len(query.relevant - known) for query in queries)
    p50, p95 = (float(one) for one in np.percentile(took_ms, [50, 95]))
    yield Evaluation(len(queries), recall_1, recall_5, recall_10, mrr, ndcg, p50, p95, unknown)


def evaluated(
    core: Core, queries: Sequence[JudgedQuery], *, limit: int = _DEPTH, progress: Progress = silent
) -> Evaluation:
    """Search for each query and return the measures.

    Raises:
        FeedError: a query cannot be searched, or there is none.
    """
    for step in evaluate(core, queries, limit=limit) if queries else ():
        if isinstance(step, Evaluation):
            return step
        progress("Searching", step, len(queries))
    raise FeedError("There is no query to evaluate.")


def _query(judged: JudgedQuery, limit: int) -> Query:
    return Query(
        text=[] if judged.text is None else [judged.text],
        image=[] if judged.image is None else [judged.image],
        filter=judged.filter,
        limit=limit,
    )


def _measures(found: Sequence[bool], relevant: int) -> tuple[float, float, float, float, float]:
    recalls = [sum(found[:k]) / min(relevant, k) for k in (1, 5, 10)]
    first = next((rank for rank, hit in enumerate(found, start=1) if hit), None)
    gains = 1 / np.log2(np.arange(2, _DEPTH + 2))
    gain = float(gains[: len(found[:_DEPTH])][np.array(found[:_DEPTH], dtype=bool)].sum())
    return recalls[0], recalls[1], recalls[2], 1 / first if first else 0.0, gain / float(gains[:relevant].sum())

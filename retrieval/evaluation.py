"""Is search good on this catalogue? Judged queries in, the field's usual measures out.

recall@k is the share of a query's relevant items among the first k hits, of at most k that there can be; MRR the mean
of 1 / rank of the first relevant hit; nDCG@10 counts a relevant hit at rank r as 1 / log2(r + 1), over the best
possible order (Järvelin and Kekäläinen, 2002, doi:10.1145/582415.582418).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.errors import FeedError, LookalikeError
from data.table import LIST_SEPARATOR, Cell, Row
from data.tables import open_table
from retrieval.catalog import Catalog

__all__ = ["Evaluation", "JudgedQuery", "evaluate", "read_queries"]

_TEXT, _IMAGE, _FILTER, _RELEVANT = "text", "image", "filter", "relevant"
_DEPTH = 10


@dataclass(frozen=True, slots=True)
class JudgedQuery:
    """A query with the keys of the items that should be found for it."""

    relevant: frozenset[str]
    text: str | None = None
    image: Path | None = None
    filter: str | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Means over all queries, 0 to 1; milliseconds of a search; `unknown` counts relevant keys that no item has."""

    queries: int
    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    mrr: float
    ndcg_at_10: float
    p50_ms: float
    p95_ms: float
    unknown: int


def read_queries(path: Path) -> list[JudgedQuery]:
    """Read judged queries: CSV or JSON Lines with text and/or image, optional filter, and relevant.

    `relevant` are keys, with `|` between them in CSV, a list in JSON Lines; image paths are relative to the file.

    Raises:
        FeedError: the file cannot be read, a column is missing, or a row is no query.
    """
    table = open_table(path, types={}, plain=frozenset({_TEXT, _IMAGE, _FILTER, _RELEVANT}))
    if _RELEVANT not in table.columns or not {_TEXT, _IMAGE} & set(table.columns):
        raise FeedError(
            f"{path.name} needs the columns text or image, and relevant; it has {', '.join(table.columns)}."
        )
    queries = []
    for row in table.read():
        if not isinstance(row, Row):
            raise FeedError(f"{path.name}, row {row.row}: {row.reason}")
        query = _query_of(row.values, path.parent)
        if not query.relevant or (query.text is None and query.image is None):
            raise FeedError(f"{path.name}, row {row.number}: a query needs a text or an image, and a relevant key.")
        queries.append(query)
    if not queries:
        raise FeedError(f"{path.name} has no query.")
    return queries


def evaluate(catalog: Catalog, queries: Sequence[JudgedQuery], *, limit: int = _DEPTH) -> Iterator[Evaluation | int]:
    """Search for each query and measure; yields how many are done after each, and last the `Evaluation`."""
    depth = max(limit, _DEPTH)
    measures = np.zeros((len(queries), 5))
    took_ms = np.zeros(len(queries))
    known = set(catalog.keys(sorted({key for query in queries for key in query.relevant})))
    for place, query in enumerate(queries):
        try:
            results = catalog.search(text=query.text, image=query.image, filter=query.filter, limit=depth)
        except LookalikeError as error:
            raise FeedError(f"Query {place + 1} cannot be searched: {error}") from error
        took_ms[place] = results.took_ms
        measures[place] = _measures([key in query.relevant for key in results.keys], len(query.relevant))
        yield place + 1
    recall_1, recall_5, recall_10, mrr, ndcg = (float(mean) for mean in measures.mean(axis=0))
    unknown = sum(len(query.relevant - known) for query in queries)
    p50, p95 = (float(one) for one in np.percentile(took_ms, [50, 95]))
    yield Evaluation(len(queries), recall_1, recall_5, recall_10, mrr, ndcg, p50, p95, unknown)


def _query_of(values: Mapping[str, Cell], folder: Path) -> JudgedQuery:
    relevant = values.get(_RELEVANT)
    keys = relevant if isinstance(relevant, list) else str(relevant or "").split(LIST_SEPARATOR)
    text, image, filter = (str(values.get(name) or "").strip() or None for name in (_TEXT, _IMAGE, _FILTER))
    return JudgedQuery(
        frozenset(str(key).strip() for key in keys if str(key).strip()), text, folder / image if image else None, filter
    )


def _measures(found: Sequence[bool], relevant: int) -> tuple[float, float, float, float, float]:
    recalls = [sum(found[:k]) / min(relevant, k) for k in (1, 5, 10)]
    first = next((rank for rank, hit in enumerate(found, start=1) if hit), None)
    gains = 1 / np.log2(np.arange(2, _DEPTH + 2))
    gain = float(gains[: len(found[:_DEPTH])][np.array(found[:_DEPTH], dtype=bool)].sum())
    return recalls[0], recalls[1], recalls[2], 1 / first if first else 0.0, gain / float(gains[:relevant].sum())

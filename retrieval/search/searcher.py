"""One search from request to results: the query's parts, the ranking under the filter, the hits."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookalike.data.errors import FilterError, UsageError
from lookalike.retrieval.arguments import filter_text, fraction, parameters_of, whole
from lookalike.retrieval.filters import Filter
from lookalike.retrieval.filters.nodes import Parameters
from lookalike.retrieval.input_checks import checked_vector
from lookalike.retrieval.query import MAX_LIMIT, Page, Results
from lookalike.retrieval.search.catalog_models import Encoders
from lookalike.retrieval.search.device import Device
from lookalike.retrieval.search.fusion import Ranking, rank, ranking_of
from lookalike.retrieval.search.query_parts import WITHOUT_WEIGHT, QueryImage, QueryParts
from lookalike.retrieval.search.recall import RecentQueries
from lookalike.retrieval.search.state import Allowed, View
from lookalike.retrieval.store.records import Records
from lookalike.retrieval.stored_rows import StoredImage
from lookalike.retrieval.vector_index import Found, Metric

__all__ = ["Request", "Searcher", "parse_filter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is looked for and how: see `Catalog.search`. `vectors` are float32 [count, dim], checked.

    Raises:
        UsageError: the page, the balance or the share of the looks is out of range.
    """

    texts: Sequence[str] = ()
    images: Sequence[QueryImage] = ()
    keys: Sequence[str] = ()
    vectors: NDArray[np.float32] | None = None
    without: Sequence[str] = ()
    filter: Filter | None = None
    limit: int = 10
    offset: int = 0
    recall: float = 0.95
    balance: float = 0.5
    min_score: float | None = None
    fields: Sequence[str] | None = None
    looks: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "limit", whole(self.limit, "limit", 1, MAX_LIMIT))
        object.__setattr__(self, "offset", whole(self.offset, "offset", 0, MAX_LIMIT))
        if not 0 <= fraction(self.balance, "balance") <= 1:
            raise UsageError(f"The balance is {self.balance}; it can be 0 (pictures only) to 1 (words only).")
        if self.min_score is not None:
            object.__setattr__(self, "min_score", fraction(self.min_score, "least score"))
        if self.looks is not None and not 0 <= fraction(self.looks, "share of the looks") <= 1:
            raise UsageError(
                f"The share of the looks is {self.looks}; it can be 0 (only the main model's) to 1 (only the looks)."
            )

    @property
    def is_one_vector(self) -> bool:
        """Whether one ready vector is all that is asked for."""
        if self.vectors is None or len(self.vectors) != 1:
            return False
        return not (self.texts or self.images or self.keys or self.without)


@dataclass(frozen=True, slots=True)
class Searcher:
    """Answers requests over views of one catalog.

    `encoders` gives its models when words or pictures need them; `device` searches many vectors at a time; `recent`
    remembers the last queries, to measure recall on. What made a view's vectors, the view says.
    """

    records: Records
    encoders: Encoders
    device: Device
    recent: RecentQueries = field(default_factory=RecentQueries)

    def search(self, view: View, request: Request) -> Results:
        """Answer one request; all that it names makes one query."""
        started = time.perf_counter()
        if request.is_one_vector:
            return self.search_many(view, request)[0]
        query = self._query(view, request)
        without = np.array(sorted(query.like_ids), dtype=np.int64) if query.like_ids else None
        allowed = view.allowed(request.filter, without)
        ranking = self._rank(view, query, allowed, request)
        (page,) = self._pages(view, [ranking], request)
        took_ms = (time.perf_counter() - started) * 1000
        return Results(page, allowed.count, ranking.exact, ranking.plan, took_ms, tuple(query.notices))

    def by_vector(
        self,
        view: View,
        vector: ArrayLike,
        filter: str | None,
        limit: int,
        recall: float,
        fields: tuple[str, ...] | None,
    ) -> Results:
        """Answer a search by one vector and nothing else; the second of its kind and those after it go a short way."""
        if type(limit) is not int:
            limit = whole(limit, "limit", 1, MAX_LIMIT)
        asked = limit, recall, fields
        parsed = parse_filter(filter)
        allowed = view.allowed(parsed)
        space = view.file.spaces["image"]
        query = checked_vector(vector, space)
        prepared = allowed.prepared.get(asked)
        if prepared is not None and len(query) == 1:
            self.recent.keep(space.stored, query if space.metric is Metric.COSINE else query.copy())  # ours if scaled
            return prepared.results(query)
        request = Request(vectors=query, filter=parsed, limit=limit, recall=recall, fields=fields)
        results = self.search(view, request)
        if request.is_one_vector and len(results) == min(limit, allowed.count):
            view.prepare(asked, limit, recall, allowed, fields)
        return results

    def search_many(self, view: View, request: Request) -> list[Results]:
        """Answer a request whose every vector is a query of its own."""
        started = time.perf_counter()
        allowed = view.allowed(request.filter)
        assert request.vectors is not None
        self.recent.remember(view.file.spaces["image"].stored, request.vectors)
        limit = request.limit + request.offset
        search = self.device.search
        plain = None
        if not (request.offset or view.has_images) and request.min_score is None:
            plain = view.found_in_one("image", request.vectors, limit, allowed, request.recall, search)
        if plain is not None and (plain.rows >= 0).all():
            exact, plan, pages = plain.exact, plain.how, _plain_pages(view, plain, request.fields)
        else:
            found, exact, plan = view.nearest("image", request.vectors, limit, allowed, request.recall, search)
            rankings = [ranking_of(one, "vector", view.file.spaces["image"].metric, exact, plan) for one in found]
            pages = self._pages(view, rankings, request)
        took_ms = (time.perf_counter() - started) * 1000 / max(len(pages), 1)
        return [Results(one, allowed.count, exact, plan, took_ms) for one in pages]

    def _query(self, view: View, request: Request) -> QueryParts:
        query = QueryParts(view, self.records, self.encoders, _looks_share(view, request))
        words = any(one.strip() for one in request.texts)
        pictures = bool(request.images or request.keys or request.vectors is not None)
        word_weight, picture_weight = (request.balance, 1 - request.balance) if words and pictures else (1.0, 1.0)
        query.add_texts(request.texts, word_weight)
        query.add_images(request.images, picture_weight)
        query.add_keys(request.keys, picture_weight)
        if request.vectors is not None:
            query.add_vectors(request.vectors, picture_weight)
        query.add_texts(request.without, -WITHOUT_WEIGHT)
        return query

    def _rank(self, view: View, query: QueryParts, allowed: Allowed, request: Request) -> Ranking:
        limit = request.limit + request.offset
        if not query.parts:
            items = view.first_items(allowed, 0, limit)
            zeros = np.zeros(len(items), dtype=np.float32)
            return Ranking(items, zeros, {}, view.first_images("image", items), True, "no query: in the order added")
        parts = [part for part in query.parts if part.weight]
        if all(part.weight < 0 for part in parts):
            raise UsageError("Say what to look for as well as what to keep away from.")
        for part in parts:
            if part.weight > 0:
                self.recent.remember(view.file.spaces[part.space].stored, part.vector[None])
        ranking = rank(view, parts, allowed, limit, request.recall)
        named = self.records.items_of_keys(request.texts, as_of=view.seq) if request.texts else {}
        if named:  # a text that is a key names its item, which comes first
            ids = np.array(sorted(row.id for row in named.values()), dtype=np.int64)
            first = rank(view, parts, view.only(ids, allowed), limit, request.recall)
            ranking = first.followed_by(ranking, limit)
        return ranking

    def _pages(self, view: View, rankings: Sequence[Ranking], request: Request) -> list[Page]:
        """Return a page of hits for each ranking; what they hold is read for all at once."""
        cut = [_cut(ranking, request) for ranking in rankings]
        together = cut[0].items if len(cut) == 1 else _joined([ranking.items for ranking in cut])
        keys, fields = view.rows(together, request.fields)
        images = self._images(view, [ranking.image_ids for ranking in cut]) if view.has_images else {}
        pages = []
        start = 0
        for ranking in cut:
            stop = start + len(ranking.items)
            whole = len(cut) == 1
            parts = {name: values.tolist() for name, values in ranking.parts.items()}
            shown = [images.get(image_id) for image_id in ranking.image_ids.tolist()] if images else None
            own = fields if whole else {name: values[start:stop] for name, values in fields.items()}
            pages.append(Page(keys if whole else keys[start:stop], ranking.scores.tolist(), parts, shown, own))
            start = stop
        return pages

    def _images(self, view: View, ids: Sequence[NDArray[np.int64]]) -> dict[int, StoredImage]:
        wanted = ids[0] if len(ids) == 1 else np.unique(_joined(ids))
        return self.records.images_by_id(wanted, as_of=view.seq) if wanted.any() else {}


def _looks_share(view: View, request: Request) -> float:
    """Return the share of a picture's weight that goes to the space for looks: all, unless asked otherwise."""
    if "looks" in view.file.spaces:
        return 1.0 if request.looks is None else request.looks
    if request.looks is not None:
        raise UsageError(
            "This catalogue has no second space for looks, so no share can go there. "
            "Give it one with: lookalike reencode CATALOG --looks resnet50"
        )
    return 0.0


def _cut(ranking: Ranking, request: Request) -> Ranking:
    """Leave out what is before the page, and what scores too little."""
    if request.min_score is None and not request.offset:
        return ranking
    least = -np.inf if request.min_score is None else request.min_score
    kept = np.flatnonzero(ranking.scores.astype(np.float64) >= least)
    kept = kept[kept >= request.offset]
    parts = {name: values[kept] for name, values in ranking.parts.items()}
    return Ranking(
        ranking.items[kept], ranking.scores[kept], parts, ranking.image_ids[kept], ranking.exact, ranking.plan
    )


def _plain_pages(view: View, found: Found, names: Sequence[str] | None) -> list[Page]:
    """Return a page of hits for each query, all as long, of items without pictures."""
    keys, fields = view.rows(view.items_in_one("image", found.rows).ravel(), names)
    length = found.rows.shape[1]
    shown = view.file.spaces["image"].metric.shown(found.scores)
    pages = []
    for start, scores in zip(range(0, len(keys), length), shown.tolist(), strict=True):
        part = slice(start, start + length)
        own = {name: values[part] for name, values in fields.items()}
        pages.append(Page(keys[part], scores, {"vector": scores}, None, own))
    return pages


def _joined(arrays: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(arrays) if arrays else np.empty(0, np.int64)


def parse_filter(filter: str | None, params: Parameters | None = None) -> Filter | None:
    """Read a filter, if there is one.

    Raises:
        FilterError: it cannot be read, or there are parameters and no filter.
    """
    if params:
        if filter is None:
            raise FilterError("There are parameters, but no filter that they are for.")
        params = parameters_of(params)
    return None if filter is None else Filter.parse(filter_text(filter), params)

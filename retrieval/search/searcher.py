"""A search from query to results: the query's parts, the ranking under the filter, and the hits."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from lookalike.data.errors import UsageError
from lookalike.models import Matrix
from lookalike.retrieval.query import Query
from lookalike.retrieval.results import Page, Results
from lookalike.retrieval.search.allowed import Allowed
from lookalike.retrieval.search.catalog_models import CatalogModels
from lookalike.retrieval.search.device import Device
from lookalike.retrieval.search.fusion import Ranking, rank, ranking_of
from lookalike.retrieval.search.query_parts import QueryParts
from lookalike.retrieval.search.recall import RecentQueries
from lookalike.retrieval.search.segmented_state import SegmentedState
from lookalike.retrieval.search.state import State
from lookalike.retrieval.spaces.space import SpaceName
from lookalike.retrieval.store.records import Records
from lookalike.retrieval.stored_rows import Ids, StoredImage
from lookalike.retrieval.vector_index import Found

__all__ = ["Searcher"]


@dataclass(frozen=True, slots=True)
class Searcher:
    """Answers queries over states of one catalogue.

    `models` encodes words and pictures, `device` searches batches of vectors, and `recent` remembers the last query
    vectors, on which recall is measured.
    """

    records: Records
    models: CatalogModels
    device: Device
    recent: RecentQueries = field(default_factory=RecentQueries)

    def search(self, state: State, query: Query) -> Results:
        """Search a state for a query. Loading a model, which only the first search does, is not in its `took_ms`.

        Raises:
            UsageError, FilterError, ItemNotFound, NotAPicture, ModalityUnsupported: see `Catalog.search`.
        """
        started, waited = time.perf_counter(), self.models.waited_s
        parts = QueryParts.of(query, state, self.records, self.models)
        without = np.array(sorted(parts.like_ids), dtype=np.int64) if parts.like_ids else None
        allowed = state.allowed(query.parsed_filter, without)
        ranking = self._rank(state, query, parts, allowed)
        if query.offset or query.min_score is not None:
            ranking = _cut(ranking, query)
        page = self._page(state, ranking, query.fields)
        took_ms = (time.perf_counter() - started - (self.models.waited_s - waited)) * 1000
        return Results(page, allowed.count, ranking.exact, ranking.plan, took_ms, tuple(parts.notices))

    def search_many(self, state: SegmentedState, vectors: Matrix, query: Query) -> list[Results]:
        """Search for each of many vectors, float32 [queries, dim], with one set of options; on `device` if it pays."""
        started = time.perf_counter()
        allowed = state.allowed(query.parsed_filter)
        space = state.file.spaces[SpaceName.IMAGE]
        self.recent.remember(space.stored, vectors)
        plain = None
        if not state.has_images:
            plain = state.found_in_one(space.name, vectors, query.limit, allowed, query.recall, self.device.search)
        if plain is not None and (plain.rows >= 0).all():
            pages = _plain_pages(state, plain, query.fields)
            exact, plan = plain.exact, plain.how
        else:
            found = state.nearest_many(space.name, vectors, query.limit, allowed, query.recall, self.device.search)
            rankings = [ranking_of(one, "vector", space.metric) for one in found]
            pages = [self._page(state, one, query.fields) for one in rankings]
            exact, plan = all(one.exact for one in rankings), rankings[0].plan if rankings else ""
        took_ms = (time.perf_counter() - started) * 1000 / max(len(pages), 1)
        return [Results(one, allowed.count, exact, plan, took_ms) for one in pages]

    def _rank(self, state: State, query: Query, found: QueryParts, allowed: Allowed) -> Ranking:
        limit = query.limit + query.offset
        if not found.parts:
            items = state.first_items(allowed, 0, limit)
            zeros = np.zeros(len(items), dtype=np.float32)
            images = state.first_images(SpaceName.IMAGE, items)
            return Ranking(items, zeros, {}, images, True, "no query: in the order added")
        parts = found.parts
        if len(parts) > 1:
            parts = [part for part in parts if part.weight]
        if not parts or (parts[0].weight < 0 and all(part.weight < 0 for part in parts)):
            raise UsageError("A query needs at least one thing to look for; it only has things to avoid.")
        for part in parts:
            if part.weight > 0:
                self.recent.keep(state.file.spaces[part.space].stored, part.vector)
        ranking = rank(state, parts, allowed, limit, query.recall)
        named = self.records.items_of_keys(query.text, as_of=state.seq) if query.text else {}
        if named:  # a text that is a key names its item, which comes first
            ids = np.array(sorted(row.id for row in named.values()), dtype=np.int64)
            first = rank(state, parts, state.only(ids, allowed), limit, query.recall)
            ranking = first.followed_by(ranking, limit)
        return ranking

    def _page(self, state: State, ranking: Ranking, names: Sequence[str] | None) -> Page:
        keys, fields = state.rows(ranking.items, names)
        scores = ranking.scores.tolist()
        parts = {
            name: scores if values is ranking.scores else values.tolist() for name, values in ranking.parts.items()
        }
        return Page(keys, scores, parts, self._images(state, ranking.image_ids) if state.has_images else None, fields)

    def _images(self, state: State, ids: Ids) -> list[StoredImage | None] | None:
        found = self.records.images_by_id(ids, as_of=state.seq) if ids.any() else {}
        return [found.get(image_id) for image_id in ids.tolist()] if found else None


def _cut(ranking: Ranking, query: Query) -> Ranking:
    """Remove the hits before the page, and those that score below the minimum."""
    least = -np.inf if query.min_score is None else query.min_score
    kept = np.flatnonzero(ranking.scores.astype(np.float64) >= least)
    kept = kept[kept >= query.offset]
    parts = {name: values[kept] for name, values in ranking.parts.items()}
    return Ranking(
        ranking.items[kept], ranking.scores[kept], parts, ranking.image_ids[kept], ranking.exact, ranking.plan
    )


def _plain_pages(state: SegmentedState, found: Found, names: Sequence[str] | None) -> list[Page]:
    """Return a page of hits for each query, all of one length, of items without pictures."""
    keys, fields = state.rows(state.items_in_one(SpaceName.IMAGE, found.rows).ravel(), names)
    length = found.rows.shape[1]
    shown = state.file.spaces[SpaceName.IMAGE].metric.shown(found.scores)
    pages = []
    for start, scores in zip(range(0, len(keys), length), shown.tolist(), strict=True):
        part = slice(start, start + length)
        own = {name: values[part] for name, values in fields.items()}
        pages.append(Page(keys[part], scores, {"vector": scores}, None, own))
    return pages

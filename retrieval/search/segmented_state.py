"""The state of a catalog on disk: a generation and the items committed since, without the items that are gone."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lookalike.data.item import Value
from lookalike.retrieval.filters import Filter
from lookalike.retrieval.generations.segment import Segment, SpaceRows
from lookalike.retrieval.schema import Schema
from lookalike.retrieval.search.allowed import Allowed, Mask
from lookalike.retrieval.search.state import Compared, Nearest, Scores
from lookalike.retrieval.search.vector_sample import sampled
from lookalike.retrieval.spaces.catalog_file import CatalogFile
from lookalike.retrieval.stored_rows import Ids
from lookalike.retrieval.vector_index import EXACT, Found, Selection

__all__ = ["SegmentedState"]

Search = Callable[[SpaceRows, NDArray[np.float32], int, float, Selection | None], Found]

SAMPLE_ROWS = 2048
REMEMBERED_BYTES = 128_000_000
"""Memory that the masks of the last filters, and the selections built from them, may take."""

_WEIGHED_EVERY = 8
"""Number of new filters between two checks of the memory that the remembered ones take."""

BOUND_SEARCHES = 16
"""The most combinations of space, limit and recall for which one filter keeps a bound search."""


NOTHING = Nearest(np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.int64), True, "nothing to search")


class SegmentedState:
    """Segments, oldest first, under one schema; immutable. An item's place counts through all segments.

    `file` names the models that made the vectors; a query has to be encoded by the same ones.
    """

    def __init__(
        self, segments: Sequence[Segment], gone: Sequence[Mask | None], schema: Schema, seq: int, file: CatalogFile
    ) -> None:
        self.schema = schema
        self.seq = seq
        self.file = file
        self.segments = tuple(replace(segment, columns=segment.columns.aligned(schema)) for segment in segments)
        self.gone = tuple(gone)
        self._offsets = np.cumsum([0, *(len(segment.item_ids) for segment in segments)])
        self.has_images = any(rows.has_images for segment in self.segments for rows in segment.spaces.values())
        self._lock = threading.Lock()
        self._remembered: OrderedDict[str, Allowed] = OrderedDict()
        self._until_weighed = _WEIGHED_EVERY
        self._samples: dict[str, NDArray[np.float32]] = {}

    def followed_by(self, segment: Segment, touched: Ids, schema: Schema, seq: int) -> SegmentedState:
        """Return the state after more commits. `segment` holds the items of `touched` that still exist."""
        gone: list[Mask | None] = []
        for old, mask in zip(self.segments, self.gone, strict=True):
            positions = old.positions_of(touched)
            if len(positions):
                mask = np.zeros(len(old.item_ids), dtype=np.bool_) if mask is None else mask.copy()
                mask[positions] = True
            gone.append(mask)
        return SegmentedState([*self.segments, segment], [*gone, None], schema, seq, self.file)

    @cached_property
    def everything(self) -> Allowed:
        """All items of the state."""
        return self._computed(None, None)

    def allowed(self, filter: Filter | None, without: Ids | None = None) -> Allowed:
        """Return the items that satisfy a filter, except those with the ids `without`. Recent filters are cached.

        Raises:
            FilterError: the filter does not fit the fields.
        """
        if without is not None and len(without):
            return self._computed(filter, without)
        if filter is None:
            return self.everything
        with self._lock:
            found = self._remembered.get(filter.text)
            if found is not None:
                self._remembered.move_to_end(filter.text)
                return found
        found = self._computed(filter, None)
        with self._lock:
            self._remembered[filter.text] = found
            self._until_weighed -= 1
            if not self._until_weighed:
                self._forget_the_oldest()
        return found

    def _forget_the_oldest(self) -> None:
        """Forget the oldest filters until the others fit into `REMEMBERED_BYTES`."""
        self._until_weighed = _WEIGHED_EVERY
        held = sum(allowed.nbytes for allowed in self._remembered.values())
        while held > REMEMBERED_BYTES and len(self._remembered) > 1:
            held -= self._remembered.popitem(last=False)[1].nbytes

    def _computed(self, filter: Filter | None, without: Ids | None) -> Allowed:
        masks: list[Mask | None] = []
        count = 0
        for segment, gone in zip(self.segments, self.gone, strict=True):
            mask = None if gone is None else ~gone
            if filter is not None:
                passing = filter.mask(segment.columns)
                mask = passing if mask is None else passing & mask
            if without is not None and len(positions := segment.positions_of(without)):
                mask = np.ones(len(segment.item_ids), dtype=np.bool_) if mask is None else mask.copy()
                mask[positions] = False
            masks.append(mask)
            count += len(segment.item_ids) if mask is None else int(np.count_nonzero(mask))
        return Allowed(tuple(masks), count)

    def only(self, ids: Ids, allowed: Allowed) -> Allowed:
        """Return the allowed items that have one of these ids."""
        masks: list[Mask] = []
        for segment, mask in zip(self.segments, allowed.masks, strict=True):
            chosen = np.zeros(len(segment.item_ids), dtype=np.bool_)
            chosen[segment.positions_of(ids)] = True
            masks.append(chosen if mask is None else chosen & mask)
        return Allowed(tuple(masks), sum(int(np.count_nonzero(mask)) for mask in masks))

    def nearest(self, space: str, query: NDArray[np.float32], limit: int, allowed: Allowed, recall: float) -> Nearest:
        """Find the best `limit` items for a query, float32 [dim]. An item's score is that of its best vector.

        After the first search of a kind, everything but the query is decided and cached for the next ones.
        """
        bound = allowed.bound.get((space, limit, recall))
        if bound is None:
            (found,) = self.nearest_many(space, query[None], limit, allowed, recall)
            if len(found.items) == min(limit, allowed.count):
                self._bind(space, limit, allowed, recall)
            return found
        scores, places, exact, plan = bound(query[None])
        image_ids = self.segments[0].spaces[space].image_ids
        return Nearest(self.items_in_one(space, places), scores, image_ids[places], exact, plan)

    def nearest_many(
        self,
        space: str,
        queries: NDArray[np.float32],
        limit: int,
        allowed: Allowed,
        recall: float,
        search: Search = SpaceRows.search,
    ) -> list[Nearest]:
        """Find the best `limit` items for each query, float32 [queries, dim]; `search` searches a segment's rows."""
        if self._straight(space):
            found = self.found_in_one(space, queries, limit, allowed, recall, search)
            return [NOTHING] * len(queries) if found is None else self._nearest_of(space, found)
        scores, least, items, ids, images = [], [], [], [], []
        exact, plans = True, []
        for number, segment in enumerate(self.segments):
            rows = segment.spaces[space]
            count = rows.vectors.count
            if not count:
                continue
            passing = allowed.rows(number, space, rows)
            survivors = count if passing is None else passing.count
            if not survivors:
                continue
            # The best (limit - 1) * most + 1 rows hold at least `limit` items, if there are so many.
            k = min((limit - 1) * rows.most_per_item + 1, survivors)
            found = search(rows, queries, k, recall, passing)
            exact = exact and found.exact
            plans.append(found.how)
            scores.append(np.where(found.rows >= 0, found.scores, -np.inf))
            least.append(np.minimum.accumulate(scores[-1], axis=1))
            places = rows.items[found.rows]
            items.append(np.where(found.rows >= 0, places + self._offsets[number], -1))
            ids.append(segment.item_ids[places])
            images.append(rows.image_ids[found.rows])
        if not scores:
            return [NOTHING] * len(queries)
        merged = [np.concatenate(parts, axis=1) for parts in (scores, least, items, ids, images)]
        plan = " + ".join(plans)
        return [Nearest(*_best_items(*one, limit=limit), exact, plan) for one in zip(*merged, strict=True)]

    def _bind(self, space: str, limit: int, allowed: Allowed, recall: float) -> None:
        """Decide everything but the query for further searches like the one just answered, if that is possible."""
        if not self._straight(space) or len(allowed.bound) >= BOUND_SEARCHES:
            return
        rows = self.segments[0].spaces[space]
        selection = allowed.rows(0, space, rows)
        settled = selection is None or selection.uses > 1  # a filter's second search may be planned unlike its first
        if rows.approximate is not None and recall < EXACT and allowed.count and settled:
            allowed.bound[space, limit, recall] = rows.approximate.bound_one(limit, recall, selection)

    def _straight(self, space: str) -> bool:
        """Return whether there is one segment in which no item has several vectors, so that a row is an item."""
        if len(self.segments) != 1:
            return False
        rows = self.segments[0].spaces[space]
        return rows.most_per_item == 1 and rows.vectors.count > 0

    def found_in_one(
        self,
        space: str,
        queries: NDArray[np.float32],
        limit: int,
        allowed: Allowed,
        recall: float,
        search: Search = SpaceRows.search,
    ) -> Found | None:
        """Find the best rows of the only segment for each query; None if rows are not items or no row is allowed."""
        if not self._straight(space):
            return None
        rows = self.segments[0].spaces[space]
        passing = allowed.rows(0, space, rows)
        survivors = rows.vectors.count if passing is None else passing.count
        return search(rows, queries, min(limit, survivors), recall, passing) if survivors else None

    def items_in_one(self, space: str, rows: Ids) -> Ids:
        """Return the places of the items whose rows `found_in_one` found."""
        one = self.segments[0].spaces[space]
        return rows if one.one_each else one.items[rows]

    def _nearest_of(self, space: str, found: Found) -> list[Nearest]:
        image_ids = self.segments[0].spaces[space].image_ids
        best = []
        for scores, places in zip(found.scores, found.rows, strict=True):
            if len(places) and places[-1] < 0:
                scores, places = scores[places >= 0], places[places >= 0]
            items = self.items_in_one(space, places)
            best.append(Nearest(items, scores, image_ids[places], found.exact, found.how))
        return best

    def compare(self, space: str, query: NDArray[np.float32], vectors: NDArray[np.float32], items: Ids) -> Compared:
        """Compare items by place with a query, float32 [dim], and with each of `vectors`; see `State.compare`."""
        totals = np.full(len(items), np.nan, dtype=np.float32)
        images = np.zeros(len(items), dtype=np.int64)
        parts = np.full((len(vectors), len(items)), np.nan, dtype=np.float32)
        numbers = np.searchsorted(self._offsets, items, side="right") - 1
        for number in np.unique(numbers):
            here = np.flatnonzero(numbers == number)
            rows = self.segments[number].spaces[space]
            found, places = rows.rows_of(items[here] - self._offsets[number])
            if not len(found):
                continue
            scores = rows.vectors.scores(np.concatenate([query[None], vectors]), found)
            order = np.lexsort((-scores[0], places))
            _, starts = np.unique(places[order], return_index=True)
            first = order[starts]
            there = here[places[first]]
            totals[there], images[there] = scores[0, first], rows.image_ids[found[first]]
            parts[:, there] = np.maximum.reduceat(scores[1:, order], starts, axis=1)
        return Compared(totals, images, parts)

    def sample(self, space: str) -> NDArray[np.float32]:
        """Return up to `SAMPLE_ROWS` vectors, float32 [rows, dim], spread over the items."""
        if space not in self._samples:
            self._samples[space] = sampled(self.segments, self.gone, space, SAMPLE_ROWS)
        return self._samples[space]

    def has_vectors(self, space: str) -> bool:
        """Return whether any item has a vector in that space."""
        return any(space in segment.spaces and segment.spaces[space].vectors.count for segment in self.segments)

    def stored_as(self, space: str) -> str:
        """Return the type that a space is searched in: float32 if float16 does not hold some of its vectors."""
        wide = any(segment.spaces[space].vectors.wide for segment in self.segments if space in segment.spaces)
        return "float32" if wide else "float16"

    def first_items(self, allowed: Allowed, start: int, count: int) -> Ids:
        """Return the places of some of the allowed items, in the order in which their keys were first added."""
        places = [
            np.flatnonzero(np.ones(len(segment.item_ids), dtype=np.bool_) if mask is None else mask)[: start + count]
            + offset
            for segment, mask, offset in zip(self.segments, allowed.masks, self._offsets, strict=False)
        ]
        if len(places) == 1:
            only: Ids = places[0][start:]
            return only
        joined = np.concatenate(places) if places else np.empty(0, dtype=np.int64)
        return joined[np.argsort(self.item_ids(joined), kind="stable")][start : start + count]

    def item_ids(self, items: Ids) -> Ids:
        """Return the ids of items by place."""
        if len(self.segments) == 1:
            only: Ids = self.segments[0].item_ids[items]
            return only
        numbers = np.searchsorted(self._offsets, items, side="right") - 1
        ids = np.empty(len(items), dtype=np.int64)
        for number in np.unique(numbers):
            here = numbers == number
            ids[here] = self.segments[number].item_ids[items[here] - self._offsets[number]]
        return ids

    def rows(self, items: Ids, names: Sequence[str] | None = None) -> tuple[list[str], Mapping[str, Sequence[Value]]]:
        """Return the keys of items by place, and their values of all fields or of some, the title among them.

        Raises:
            UsageError: there is no such field.
        """
        if len(self.segments) == 1:
            columns = self.segments[0].columns
            return columns.keys(items), columns.rows(items, names)
        numbers = np.searchsorted(self._offsets, items, side="right") - 1
        order = np.argsort(numbers, kind="stable")
        keys: list[str] = []
        values: dict[str, list[Value]] = {}
        for number, segment in enumerate(self.segments):
            places = items[order[numbers[order] == number]] - self._offsets[number]
            keys += segment.columns.keys(places)
            for name, some in segment.columns.rows(places, names).items():
                values.setdefault(name, []).extend(some)
        back = np.argsort(order).tolist()
        return [keys[place] for place in back], {name: [some[place] for place in back] for name, some in values.items()}

    def value_counts(self, name: str, allowed: Allowed) -> Counter[str | bool]:
        """Count the values of a field of texts, truth values or lists of texts among the allowed items."""
        counts: Counter[str | bool] = Counter()
        for segment, mask in zip(self.segments, allowed.masks, strict=True):
            counts.update(dict(segment.columns.facets(name, mask, limit=len(segment.columns))))
        return counts

    def value_range(self, name: str, allowed: Allowed) -> tuple[Value, Value] | None:
        """Return the least and the greatest value of a field of numbers or times; None if there is no value."""
        found = [segment.columns.range(name, mask) for segment, mask in zip(self.segments, allowed.masks, strict=True)]
        ranges = [one for one in found if one is not None]
        if not ranges:
            return None
        lows, highs = zip(*ranges, strict=True)
        return min(lows), max(highs)

    def vectors_of(self, space: str, item_id: int) -> NDArray[np.float32]:
        """Return the vectors of one item by id, float32 [vectors, dim]; no rows if it has none."""
        for segment, gone in zip(reversed(self.segments), reversed(self.gone), strict=True):
            positions = segment.positions_of(np.array([item_id]))
            if len(positions) and (gone is None or not gone[positions[0]]):
                rows = segment.spaces[space]
                return rows.vectors.rows(rows.rows_of(positions)[0])
        return np.empty((0, 0), dtype=np.float32)

    def first_images(self, space: str, items: Ids) -> Ids:
        """Return the id of each item's first image, or 0 if it has none; `items` are places."""
        images = np.zeros(len(items), dtype=np.int64)
        for place, item in enumerate(items):
            number = int(np.searchsorted(self._offsets, item, side="right")) - 1
            rows = self.segments[number].spaces[space]
            found, _ = rows.rows_of(np.array([item - self._offsets[number]]))
            images[place] = rows.image_ids[found[0]] if len(found) else 0
        return images

    @property
    def tail_count(self) -> int:
        """Number of items that were added or changed after the first segment."""
        masks = self.everything.masks[1:]
        lengths = (len(segment.item_ids) for segment in self.segments[1:])
        return sum(
            length if mask is None else int(np.count_nonzero(mask)) for length, mask in zip(lengths, masks, strict=True)
        )


def _best_items(
    scores: Scores, least: Scores, items: Ids, ids: Ids, images: Ids, *, limit: int
) -> tuple[Ids, Scores, Ids]:
    """Group rows by item, represented by its first row, with equal scores ordered by the items' ids.

    `least` is the lowest score among each row and the rows that its segment found before it. A row that scores higher
    was missed at first and stays behind them, in the given order.
    """
    found = items >= 0
    scores, least, items, ids, images = scores[found], least[found], items[found], ids[found], images[found]
    missed = scores > least
    order = np.lexsort((np.where(missed, np.arange(len(ids)), ids), missed, -least))
    _, first = np.unique(items[order], return_index=True)
    chosen = order[np.sort(first)][:limit]
    return items[chosen], scores[chosen].astype(np.float32), images[chosen]

"""Items on their way into a catalog: their pictures fetched and loaded ahead of the model.

Pictures behind addresses are first fetched into files, in separate threads and further ahead (`fetch_stage.py`); then
all pictures of an item are loaded (`item_pictures.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from itertools import islice

from lookalike.data.fetch.fetched import FetchCounts, Fetched
from lookalike.data.fetch.settings import FetchSettings
from lookalike.data.item import Item, ItemImage, Rejected
from lookalike.data.pictures.picture_sources import Address, Unreadable
from lookalike.data.pictures.video import VIDEO_SUFFIXES
from lookalike.retrieval.core import Core
from lookalike.retrieval.ingest.fetch_stage import Fetching
from lookalike.retrieval.ingest.item_pictures import LoadedImage, PictureLoader
from lookalike.retrieval.ingest.worker_pool import Crew
from lookalike.retrieval.stored_rows import ItemRow, StoredImage

__all__ = ["Job", "KnownItem", "Loader"]

_LOOK_AHEAD_ITEMS = 96
_FETCH_AHEAD_ITEMS = 256
_ITEMS_LIKE_A_VIDEO = 32  # so that the frames of at most three videos wait for the model
_CHUNK_ITEMS = 32
_TICK_S = 0.2
_READ = Unreadable("It has been read.")


@dataclass(frozen=True, slots=True)
class KnownItem:
    """The state of an item in the catalog before the run reaches it."""

    row: ItemRow
    images: Sequence[StoredImage]


@dataclass(slots=True)
class Job:
    """One item on its way. The sources of its pictures are released once they are loaded."""

    item: Item
    known: KnownItem | None
    images: Future[list[LoadedImage]]


@dataclass(frozen=True, slots=True)
class _Coming:
    """An item whose pictures are being fetched: one future for each, or None for those on this machine."""

    item: Item
    known: KnownItem | None
    fetches: Sequence[Future[Fetched] | None]

    def is_fetched(self) -> bool:
        """Return whether all its pictures have been fetched."""
        return all(future is None or future.done() for future in self.fetches)


class Loader:
    """Reads a feed with a bounded look-ahead; threads fetch (unless `fetch` is None) and load its pictures."""

    def __init__(
        self,
        core: Core,
        feed: Iterable[Item | Rejected],
        pictures: PictureLoader,
        *,
        restart: bool,
        fetch: FetchSettings | None,
    ) -> None:
        self._core = core
        self._feed = feed
        self._restart = restart
        self._pictures = pictures
        self._fetch = fetch
        self._fetching: Fetching | None = None

    @property
    def counts(self) -> FetchCounts:
        """Counts of the pictures fetched so far."""
        return self._fetching.counts if self._fetching else FetchCounts()

    def jobs(self, crew: Crew) -> Generator[Job | Rejected | None]:
        """Yield the feed's rows in order; their pictures are loaded while earlier rows are processed.

        While the next row is still being fetched, None is yielded several times a second.
        """
        coming: deque[_Coming | Rejected] = deque()
        ahead: deque[Job | Rejected] = deque()
        chunks = self._chunks()
        weight = 0
        try:
            while True:
                while len(coming) <= _FETCH_AHEAD_ITEMS - _CHUNK_ITEMS and (chunk := next(chunks, None)):
                    coming.extend(chunk)
                while coming and weight <= _LOOK_AHEAD_ITEMS and _is_ready(coming[0]):
                    ahead.append(self._started(coming.popleft(), crew))
                    weight += _weight(ahead[-1])
                if ahead:
                    weight -= _weight(ahead[0])
                    yield ahead.popleft()
                elif coming:
                    yield from self._wait_for(coming[0])
                else:
                    break
        finally:
            if self._fetching:
                self._fetching.close()

    def _chunks(self) -> Iterator[list[_Coming | Rejected]]:
        """Yield the rows in chunks, with the records of their items, and submit their pictures for fetching."""
        entries = iter(self._feed)
        while chunk := list(islice(entries, _CHUNK_ITEMS)):
            known = self._known([entry.key for entry in chunk if isinstance(entry, Item)])
            coming: list[_Coming | Rejected] = []
            for entry in chunk:
                if isinstance(entry, Rejected):
                    coming.append(entry)
                elif not entry.images:
                    coming.append(Rejected(entry.row, "The row names no picture.", entry.key))
                else:
                    mine = known.get(entry.key)
                    coming.append(_Coming(entry, mine, [self._submitted(image, mine) for image in entry.images]))
            yield coming

    def _submitted(self, image: ItemImage, known: KnownItem | None) -> Future[Fetched] | None:
        if self._fetch is None or not isinstance(image.place, Address):
            return None
        if self._fetching is None:
            self._fetching = Fetching(self._core.fetched_folder, self._fetch)
        stored = known.images if known and not self._restart else ()
        return self._fetching.submit(image.place.url, {one.sha256 for one in stored})

    def _wait_for(self, coming: _Coming | Rejected) -> Iterator[None]:
        assert isinstance(coming, _Coming)  # a reject is ready
        if wait([future for future in coming.fetches if future], timeout=_TICK_S).not_done:
            yield None

    def _started(self, coming: _Coming | Rejected, crew: Crew) -> Job | Rejected:
        """Submit the pictures of an item for loading."""
        if isinstance(coming, Rejected):
            return coming
        return Job(_without_places(coming.item), coming.known, crew.load(self._load, coming))

    def _known(self, keys: Sequence[str]) -> dict[str, KnownItem]:
        records = self._core.records
        rows = records.items_of_keys(keys)
        images = records.images([row.id for row in rows.values()])
        return {key: KnownItem(row, images.get(row.id, ())) for key, row in rows.items()}

    def _load(self, coming: _Coming) -> list[LoadedImage]:
        known = coming.known.images if coming.known else ()
        try:
            return self._pictures.load(coming.item.images, coming.fetches, known)
        finally:
            for future in coming.fetches:
                if future is not None and self._fetching is not None and future.exception() is None:
                    self._fetching.let_go(future.result())


def _is_ready(coming: _Coming | Rejected) -> bool:
    return isinstance(coming, Rejected) or coming.is_fetched()


def _weight(entry: Job | Rejected) -> int:
    """Return the weight of a row by how many pictures to expect; a video, recognised by its name here, gives many."""
    if isinstance(entry, Rejected):
        return 1
    return 1 + sum(_ITEMS_LIKE_A_VIDEO for one in entry.item.images if one.source.lower().endswith(VIDEO_SUFFIXES))


def _without_places(item: Item) -> Item:
    """Return the item without the sources of its pictures, so that they are not kept in memory."""
    return replace(item, images=tuple(ItemImage(image.source, _READ) for image in item.images))

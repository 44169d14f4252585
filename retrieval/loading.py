"""Items on their way into a catalog: their pictures read, hashed, decoded and resized ahead of the model.

A picture whose bytes the catalog knows is not decoded again.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from data.errors import NotAPicture
from data.feed import Feed
from data.images import decode
from data.item import Item, ItemImage, Rejected
from data.places import read_place
from models import Prepared
from retrieval.catalog import Catalog
from retrieval.processors import Processors
from retrieval.rows import ItemRow, StoredImage

__all__ = ["Job", "KnownItem", "LoadedImage", "Loader"]

_LOOK_AHEAD_ITEMS = 96
_CHUNK_ITEMS = 32


@dataclass(frozen=True, slots=True)
class KnownItem:
    """What the catalog has of an item before the run reaches it."""

    row: ItemRow
    images: Sequence[StoredImage]


@dataclass(slots=True)
class LoadedImage:
    """One picture of an item: known by its bytes (`kept`, `vector`), or `prepared` for the model, or `failed`."""

    source: str
    sha256: bytes = b""
    width: int = 0
    height: int = 0
    kept: int | None = None
    vector: bytes | None = None
    prepared: Prepared | None = None
    failed: str | None = None


@dataclass(slots=True)
class Job:
    """One item on its way."""

    item: Item
    known: KnownItem | None
    images: Future[list[LoadedImage]]


class Loader:
    """Reads a feed with a bounded look-ahead, its pictures loaded by threads."""

    def __init__(self, catalog: Catalog, feed: Feed, processors: Processors, *, restart: bool) -> None:
        self._catalog = catalog
        self._feed = feed
        self._processors = processors
        self._restart = restart
        self._encoder = catalog.encoder

    def jobs(self) -> Generator[Job | Rejected]:
        """Yield the feed's rows in order, their pictures being loaded while earlier rows are worked on."""
        pools: list[ThreadPoolExecutor] = []
        threads = 0
        try:
            ahead: deque[Job | Rejected] = deque()
            entries = iter(self._feed)
            while chunk := list(islice(entries, _CHUNK_ITEMS)):
                if threads != self._processors.loading:  # another pool takes over, the one before runs empty
                    threads = self._processors.loading
                    pools.append(ThreadPoolExecutor(threads, thread_name_prefix="load"))
                known = self._known([entry.key for entry in chunk if isinstance(entry, Item)])
                for entry in chunk:
                    if isinstance(entry, Rejected):
                        ahead.append(entry)
                    elif not entry.images:
                        ahead.append(Rejected(entry.row, "The row names no picture.", entry.key))
                    else:
                        mine = known.get(entry.key)
                        ahead.append(Job(entry, mine, pools[-1].submit(self._load, entry, mine)))
                while len(ahead) > _LOOK_AHEAD_ITEMS:
                    yield ahead.popleft()
            yield from ahead
        finally:
            for pool in pools:
                pool.shutdown(wait=True, cancel_futures=True)

    def _known(self, keys: Sequence[str]) -> dict[str, KnownItem]:
        records = self._catalog.records
        rows = records.items_of_keys(keys)
        images = records.images([row.id for row in rows.values()])
        return {key: KnownItem(row, images.get(row.id, ())) for key, row in rows.items()}

    def _load(self, item: Item, known: KnownItem | None) -> list[LoadedImage]:
        stored: dict[bytes, list[StoredImage]] = {}
        for image in reversed(known.images) if known and not self._restart else ():
            stored.setdefault(image.sha256, []).append(image)
        with self._processors.measured():
            loaded = [self._load_image(one, stored) for one in item.images]
        self._processors.note_loaded(sum(image.prepared is not None for image in loaded))
        return loaded

    def _load_image(self, image: ItemImage, stored: dict[bytes, list[StoredImage]]) -> LoadedImage:
        """Read one picture; runs in a loader thread. A stored image is taken once, should a feed name it twice."""
        try:
            content = read_place(image.place)
            digest = hashlib.sha256(content).digest()
            if stored.get(digest):
                same = stored[digest].pop()
                return LoadedImage(image.source, digest, same.width, same.height, kept=same.id)
            elsewhere = None if self._restart else self._catalog.records.image_vector(digest)
            if elsewhere is not None:
                width, height, vector = elsewhere
                return LoadedImage(image.source, digest, width, height, vector=vector)
            picture = decode(content, min_side=self._encoder.spec.input_size)
            self._catalog.thumbnails.add(digest.hex(), picture.rgb)
            prepared = self._encoder.prepare(picture.rgb)
            return LoadedImage(image.source, digest, picture.width, picture.height, prepared=prepared)
        except NotAPicture as error:
            return LoadedImage(image.source, failed=str(error))

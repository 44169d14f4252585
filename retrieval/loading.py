"""Items on their way into a catalog: their pictures read, hashed, decoded and resized ahead of the model.

A picture whose bytes the catalog knows is not decoded again. A video is an item's pictures like any: one a scene, each
named by its time; one whose bytes are known is not decoded again either.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from data.errors import NotAPicture
from data.feed import Feed
from data.images import Picture, decode
from data.item import Item, ItemImage, Rejected
from data.places import read_place
from data.video import VIDEO_SUFFIXES, frame_sha256, frame_source, is_video, scenes, seconds_of, video_sha256
from models import Prepared
from retrieval.catalog import Catalog
from retrieval.processors import Processors
from retrieval.rows import ItemRow, StoredImage

__all__ = ["Job", "KnownItem", "LoadedImage", "Loader"]

_LOOK_AHEAD_ITEMS = 96
_ITEMS_LIKE_A_VIDEO = 32  # so that the frames of three videos at most wait for the model
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
                    while sum(map(_weight, ahead)) > _LOOK_AHEAD_ITEMS:
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
            loaded = [found for one in item.images for found in self._load_place(one, stored)]
        self._processors.note_loaded(sum(image.prepared is not None for image in loaded))
        return loaded

    def _load_place(self, image: ItemImage, stored: dict[bytes, list[StoredImage]]) -> list[LoadedImage]:
        """Read what is at one place, a picture or a video; runs in a loader thread."""
        try:
            if isinstance(image.place, Path) and is_video(image.place):
                return self._load_video(image.source, image.place, stored)
            return [self._load_image(image, stored)]
        except NotAPicture as error:
            return [LoadedImage(image.source, failed=str(error))]

    def _load_image(self, image: ItemImage, stored: dict[bytes, list[StoredImage]]) -> LoadedImage:
        """Read one picture. A stored image is taken once, should a feed name it twice."""
        content = read_place(image.place)
        digest = hashlib.sha256(content).digest()
        if stored.get(digest):
            same = stored[digest].pop()
            return LoadedImage(image.source, digest, same.width, same.height, kept=same.id)
        known = self._known_elsewhere(image.source, digest)
        return known or self._prepared(image.source, digest, decode(content, min_side=self._encoder.spec.input_size))

    def _load_video(self, source: str, path: Path, stored: dict[bytes, list[StoredImage]]) -> list[LoadedImage]:
        """Read the frames of a video; what one commit stored of it is all of it, so that known frames are enough."""
        video = video_sha256(path)
        frames = [(seconds_of(one.source), one) for images in stored.values() for one in images]
        kept = sorted(
            (seconds, one.id, one)
            for seconds, one in frames
            if seconds is not None and one.sha256 == frame_sha256(video, seconds)
        )
        if kept:
            for _, _, one in kept:
                stored[one.sha256].remove(one)
            return [
                LoadedImage(frame_source(source, seconds), one.sha256, one.width, one.height, kept=id_)
                for seconds, id_, one in kept
            ]
        loaded = []
        for frame in scenes(path):
            name, digest = frame_source(source, frame.seconds), frame_sha256(video, frame.seconds)
            known = self._known_elsewhere(name, digest)
            loaded.append(known or self._prepared(name, digest, Picture(frame.rgb, *frame.rgb.size)))
        return loaded

    def _known_elsewhere(self, source: str, digest: bytes) -> LoadedImage | None:
        """Take the vector of a picture of the same bytes, wherever in the catalog it is."""
        found = None if self._restart else self._catalog.records.image_vector(digest)
        if found is None:
            return None
        width, height, vector = found
        return LoadedImage(source, digest, width, height, vector=vector)

    def _prepared(self, source: str, digest: bytes, picture: Picture) -> LoadedImage:
        self._catalog.thumbnails.add(digest.hex(), picture.rgb)
        prepared = self._encoder.prepare(picture.rgb)
        return LoadedImage(source, digest, picture.width, picture.height, prepared=prepared)


def _weight(entry: Job | Rejected) -> int:
    """Count an item as so many, by how much may come of it: a video, told here by its name, gives many pictures."""
    if isinstance(entry, Rejected):
        return 1
    return 1 + sum(_ITEMS_LIKE_A_VIDEO for one in entry.item.images if one.source.lower().endswith(VIDEO_SUFFIXES))

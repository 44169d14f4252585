"""The pictures that lack a vector in a set of spaces, read again from their sources and encoded.

An item whose pictures lack nothing is not read. A picture is identified by its bytes, whatever its current name. If a
picture cannot be found, there is still its thumbnail.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from itertools import chain, islice

from lookalike.data.errors import NotAPicture
from lookalike.data.feeds.feed import Feed
from lookalike.data.fetch.settings import FetchSettings
from lookalike.data.item import Item, Rejected
from lookalike.data.pictures.decoding_version import decodes_differently
from lookalike.data.pictures.image_decoder import Picture, decode, read_bytes, thumbnail
from lookalike.data.pictures.video import seconds_of
from lookalike.models import Encoder
from lookalike.retrieval.core import Core
from lookalike.retrieval.ingest.item_pictures import LoadedImage, PictureLoader, Stored, encode_pictures
from lookalike.retrieval.ingest.loader import Loader
from lookalike.retrieval.ingest.worker_pool import Crew
from lookalike.retrieval.spaces.catalog_file import CatalogFile
from lookalike.retrieval.store.stored_spaces import ImageVector, LackingImage

__all__ = ["Originals"]

_CHUNK_ITEMS = 32
_LOOK_AHEAD = 64

_Batch = tuple[list[LoadedImage], Future[int]]


class _WantedLoader(PictureLoader):
    """Loads the pictures that lack a vector; of other pictures it only returns the source and the hash.

    With `only_changed`, pictures whose decoding has not changed are left out as well, and their hashes are noted in
    `unchanged`.
    """

    def __init__(
        self, core: Core, file: CatalogFile, spaces: Sequence[str], gone: Mapping[bytes, object], only_changed: bool
    ) -> None:
        super().__init__(core, restart=True, file=file)
        self.unchanged: set[bytes] = set()
        self._only_changed = only_changed
        self._wanted_in = spaces
        self._gone = gone
        self._taken: set[bytes] = set()
        self._lock = threading.Lock()

    def _known(self, source: str, digest: bytes, stored: Stored) -> LoadedImage | None:
        return self._known_elsewhere(source, digest)

    def _known_elsewhere(self, source: str, digest: bytes) -> LoadedImage | None:
        with self._lock:
            new = digest not in self._taken
            self._taken.add(digest)
        if new and self._is_wanted(digest):
            if not self._only_changed or seconds_of(source) is None:  # frames of videos are decoded as before
                return None
            self.unchanged.add(digest)
        return LoadedImage(source, digest)

    def _is_wanted(self, digest: bytes) -> bool:
        records, spaces = self._core.records, self._file.spaces
        return digest in self._gone or any(
            records.spaces.lacking_of(spaces[space].stored, [digest]) for space in self._wanted_in
        )

    def _decoded(self, source: str, digest: bytes, content: bytes) -> LoadedImage:
        if self._only_changed and not decodes_differently(content):
            self.unchanged.add(digest)
            return LoadedImage(source, digest)
        return super()._decoded(source, digest, content)

    def _prepared(self, source: str, digest: bytes, picture: Picture) -> LoadedImage:
        if self._only_changed:
            self._core.thumbnails.put(digest.hex(), thumbnail(picture.rgb))
        else:
            self._core.thumbnails.add(digest.hex(), picture.rgb)
        return self.prepared_of(source, digest, picture)

    def prepared_of(self, source: str, digest: bytes, picture: Picture) -> LoadedImage:
        """Prepare a picture for the models."""
        prepared = {space: encoder.prepare(picture.rgb) for space, encoder in self._encoders().items()}
        return LoadedImage(source, digest, picture.width, picture.height, prepared=prepared)

    def _encoders(self) -> dict[str, Encoder]:
        return {space: self._core.models.of(self._file, space) for space in self._wanted_in}


class Originals:
    """Finds and encodes the pictures that lack a vector in `spaces`, which are spaces of a set for pictures.

    With `only_changed`, pictures that are decoded as before are left without a vector.
    """

    def __init__(self, core: Core, file: CatalogFile, spaces: Sequence[str], *, only_changed: bool = False) -> None:
        self._core = core
        self._records = core.records
        self._stored = {space: file.spaces[space].stored for space in spaces}
        self._encoders = {space: core.models.of(file, space) for space in spaces}
        self._gone: dict[bytes, list[tuple[str, LackingImage]]] = {}  # of earlier states: few, and not indexed
        for space, stored in self._stored.items():
            for image in self._records.spaces.lacking(stored):
                if not image.live:
                    self._gone.setdefault(image.sha256, []).append((space, image))
        self._loader = _WantedLoader(core, file, spaces, self._gone, only_changed)

    def count(self) -> int:
        """Count the current pictures that lack a vector."""
        return max((self._records.spaces.count_lacking(stored) for stored in self._stored.values()), default=0)

    def count_unseen(self) -> int:
        """Count the current pictures that lack a vector and were not found to be decoded as before."""
        return sum(image.sha256 not in self._loader.unchanged for image in self.lacking())

    def lacking(self) -> Iterator[LackingImage]:
        """Yield the current pictures that lack a vector, each once."""
        seen: set[int] = set()
        for image in chain.from_iterable(map(self._records.spaces.lacking, self._stored.values())):
            if image.live and image.id not in seen:
                seen.add(image.id)
                yield image

    def from_feed(self, feed: Feed, fetch: FetchSettings) -> Generator[list[ImageVector]]:
        """Yield the vectors of the pictures that a feed has, in batches, which are often empty."""
        rows = self._rows_lacking(feed)
        loader = Loader(self._core, rows, self._loader, restart=True, fetch=fetch)

        def loaded(crew: Crew) -> Iterator[list[LoadedImage]]:
            with closing(loader.jobs(crew)) as jobs:
                for job in jobs:
                    yield [] if job is None or isinstance(job, Rejected) else job.images.result()

        with self._crew() as crew:
            yield from self._encoded(loaded(crew), crew)

    def from_thumbnails(self) -> Generator[list[ImageVector]]:
        """Yield the vectors of pictures of which only a thumbnail is left."""

        def load(image: LackingImage) -> list[LoadedImage]:
            path = self._core.thumbnails.path(image.sha256.hex())
            try:
                picture = None if path is None else decode(read_bytes(path))
            except NotAPicture:
                picture = None
            return [] if picture is None else [self._loader.prepared_of(image.source, image.sha256, picture)]

        def loaded(crew: Crew) -> Iterator[list[LoadedImage]]:
            lacking = chain.from_iterable(map(self._records.spaces.lacking, self._stored.values()))
            new = iter({image.sha256: image for image in lacking}.values())
            coming = deque(crew.load(load, image) for image in islice(new, _LOOK_AHEAD))
            while coming:
                yield coming.popleft().result()
                coming.extend(crew.load(load, image) for image in islice(new, 1))

        with self._crew() as crew:
            yield from self._encoded(loaded(crew), crew)

    def _crew(self) -> Crew:
        return Crew(list(self._encoders.values()))

    def _rows_lacking(self, feed: Iterable[Item | Rejected]) -> Iterator[Item | Rejected]:
        """Yield the rows of items that lack something, and of items that the catalog does not know."""
        entries = iter(feed)
        while chunk := [entry for entry in islice(entries, _CHUNK_ITEMS) if isinstance(entry, Item)]:
            known = self._records.items_of_keys([entry.key for entry in chunk])
            ids = [row.id for row in known.values()]
            lacking = {
                id_ for stored in self._stored.values() for id_ in self._records.spaces.items_lacking(stored, ids)
            }
            yield from (entry for entry in chunk if entry.key not in known or known[entry.key].id in lacking)

    def _encoded(self, loaded: Iterable[list[LoadedImage]], crew: Crew) -> Generator[list[ImageVector]]:
        """Encode loaded pictures, in batches for the models."""
        waiting: list[LoadedImage] = []
        encoding: deque[_Batch] = deque()
        for images in loaded:
            waiting += [image for image in images if image.prepared is not None]
            if len(waiting) >= crew.batch_images:
                encoding.append((waiting, crew.encode(encode_pictures, waiting, self._encoders)))
                waiting = []
            ready: list[LoadedImage] = []
            while encoding and (encoding[0][1].done() or len(encoding) > crew.most_batches):
                batch, done = encoding.popleft()
                done.result()
                ready += batch
            yield self._vectors(ready)
        encoding.append((waiting, crew.encode(encode_pictures, waiting, self._encoders)))
        for batch, done in encoding:
            done.result()
            yield self._vectors(batch)

    def _vectors(self, images: Sequence[LoadedImage]) -> list[ImageVector]:
        """Return the vectors for all pictures that have the same bytes and lack them."""
        found = []
        for image in images:
            for space, vector in image.vectors.items():
                stored = self._stored[space]
                lacking = self._records.spaces.lacking_of(stored, [image.sha256])
                lacking += [one for name, one in self._gone.get(image.sha256, ()) if name == space]
                found += [ImageVector(stored, one, vector) for one in lacking]
        return found

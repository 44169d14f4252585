"""A feed into a catalog: read, decode, encode, write, with a bounded look-ahead and a commit every few seconds.

Loader threads read, hash, decode and resize (`loading.py`) while the model runs on what they have ready. A picture
whose bytes the catalog knows is not decoded again, and an item of which nothing changed is not written again, so a run
that was stopped goes on where it was when it is started again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
import orjson

from data.errors import LookalikeError
from data.feed import Feed
from data.fetch.fetched import FetchCounts
from data.fetch.settings import FetchSettings
from data.item import Rejected
from models import Modality
from retrieval.catalog import Catalog
from retrieval.loading import Job, KnownItem, Loader
from retrieval.picture_loading import LoadedImage
from retrieval.processors import Processors
from retrieval.rows import ImageWrite, ItemWrite
from retrieval.writing import fields_json, with_fields_of

__all__ = ["IndexReport", "IndexRun"]

_BATCH_IMAGES = 32
_COMMIT_EVERY_S = 2.0
_MAX_UNCOMMITTED_ITEMS = 2_000


@dataclass(slots=True)
class IndexReport:
    """How a run stands: items by what became of them, pictures fetched and encoded, rejects in feed order."""

    rows: int = 0
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    encoded: int = 0
    fetched: FetchCounts = FetchCounts()
    seconds: float = 0.0
    rejects: list[Rejected] = field(default_factory=list)

    @property
    def images_per_second(self) -> float:
        """Pictures encoded a second."""
        return self.encoded / self.seconds if self.seconds else 0.0


class IndexRun:
    """One run over a feed. Iterate it to run it: it yields the report as it stands, several times a second.

    What has been committed stays when the iteration is broken off; the next run does the rest.
    """

    def __init__(
        self, catalog: Catalog, feed: Feed, *, restart: bool = False, fetch: FetchSettings | None = None
    ) -> None:
        self.report = IndexReport()
        self._catalog = catalog
        self._feed = feed
        self._restart = restart
        self._processors = Processors(os.cpu_count() or 1)
        self._loader = Loader(catalog, feed, self._processors, restart=restart, fetch=fetch or FetchSettings())
        self._schema = catalog.records.schema()
        self._stored_schema = self._schema
        self._encoder = catalog.encoder
        self._titles = "title" in catalog.file.spaces and Modality.TEXT in self._encoder.spec.modalities

    def __iter__(self) -> Iterator[IndexReport]:
        """Run.

        Raises:
            CatalogBusy: another process is indexing into the catalog.
        """
        started = last = time.monotonic()
        with self._catalog.writer(), closing(self._loader.jobs()) as jobs:
            self._encoder.use_threads(self._processors.model)
            waiting: list[tuple[Job, list[LoadedImage]]] = []
            ready: list[tuple[Job, list[LoadedImage]]] = []
            try:
                for job in jobs:
                    if isinstance(job, Rejected):
                        self.report.rejects.append(job)
                    elif job is not None:  # None: what comes next is still being fetched
                        waiting.append((job, job.images.result()))
                        if _count_prepared(waiting) >= _BATCH_IMAGES:
                            self._encode(waiting)
                            ready += waiting
                            waiting = []
                    self.report.rows += job is not None
                    self.report.fetched = self._loader.counts
                    now = time.monotonic()
                    if now - last > _COMMIT_EVERY_S or len(ready) >= _MAX_UNCOMMITTED_ITEMS:
                        if job is None:  # while the network is waited for, a batch need not be full
                            self._encode(waiting)
                            ready, waiting = ready + waiting, []
                        self._commit(ready)
                        ready, last = [], now
                    self.report.seconds = now - started
                    yield self.report
                self._encode(waiting)
                self._commit(ready + waiting)
            finally:
                self._encoder.use_threads(self._processors.count)
                self._catalog.records.put_rejects(
                    self._feed.name, [(one.row, one.key, one.source, one.reason) for one in self.report.rejects]
                )
        self.report.seconds = time.monotonic() - started
        yield self.report

    def _encode(self, jobs: Sequence[tuple[Job, list[LoadedImage]]]) -> None:
        images = [image for _, loaded in jobs for image in loaded if image.prepared is not None]
        if not images:
            return
        started = time.monotonic()
        rows = self._encoder.encode_prepared([image.prepared for image in images if image.prepared is not None])
        if self._processors.note_encoded(len(images), time.monotonic() - started):
            self._encoder.use_threads(self._processors.model)
        for image, row in zip(images, rows.astype(np.float16), strict=True):
            image.vector, image.prepared = row.tobytes(), None
        self.report.encoded += len(images)

    def _commit(self, jobs: Sequence[tuple[Job, list[LoadedImage]]]) -> None:
        writes: list[ItemWrite] = []
        added = updated = unchanged = 0
        for job, loaded in jobs:
            try:
                write = self._write_of(job, loaded)
            except LookalikeError as error:
                self.report.rejects.append(Rejected(job.item.row, str(error), job.item.key))
                continue
            if write is None:
                continue
            if job.known is None:
                added += 1
            elif self._is_unchanged(job.known, write):
                unchanged += 1
                continue
            else:
                updated += 1
            writes.append(write)
        if writes:
            schema = self._schema if self._schema != self._stored_schema else None
            self._catalog.records.upsert(self._with_titles(writes), schema=schema, summary=f"index {self._feed.name}")
            self._stored_schema = self._schema
        self.report.added += added
        self.report.updated += updated
        self.report.unchanged += unchanged

    def _write_of(self, job: Job, loaded: Sequence[LoadedImage]) -> ItemWrite | None:
        """Give what to write for an item; None when none of its pictures is one. Notes the rejects."""
        item = job.item
        failed = [image for image in loaded if image.failed]
        for image in failed:
            self.report.rejects.append(Rejected(item.row, image.failed or "", item.key, image.source))
        if len(failed) == len(loaded):
            return None
        self._schema = with_fields_of(self._schema, {name: [value] for name, value in item.fields.items()})
        images = [
            ImageWrite(image.source, image.sha256, image.width, image.height, image.vector, image.kept)
            for image in loaded
            if not image.failed
        ]
        same_title = job.known is not None and job.known.row.title == item.title and not self._restart
        return ItemWrite(item.key, item.title, fields_json(self._schema, item.fields), images, not same_title and None)

    def _is_unchanged(self, known: KnownItem, write: ItemWrite) -> bool:
        images = write.images or ()
        return (
            known.row.title == write.title
            and [(image.kept, image.source) for image in images] == [(image.id, image.source) for image in known.images]
            and orjson.loads(known.row.fields) == orjson.loads(write.fields)
        )

    def _with_titles(self, writes: Sequence[ItemWrite]) -> list[ItemWrite]:
        """Add the vectors of new titles, encoded all together."""
        new = [
            place for place, write in enumerate(writes) if self._titles and write.title_vector is None and write.title
        ]
        vectors: Mapping[int, bytes] = {}
        if new:
            rows = self._encoder.encode_titles([writes[place].title or "" for place in new]).astype(np.float16)
            vectors = {place: row.tobytes() for place, row in zip(new, rows, strict=True)}
        return [
            ItemWrite(write.key, write.title, write.fields, write.images, vectors[place]) if place in vectors else write
            for place, write in enumerate(writes)
        ]


def _count_prepared(jobs: Sequence[tuple[Job, list[LoadedImage]]]) -> int:
    return sum(image.prepared is not None for _, loaded in jobs for image in loaded)

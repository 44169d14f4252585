"""Indexing a feed into a catalog: read, decode, encode, write, with a bounded look-ahead and frequent commits.

Loader threads read, hash, decode and resize (`loader.py`) while the model runs on the pictures that are ready. A
picture whose bytes the catalog knows is not decoded again, and an unchanged item is not written again, so a run that
was stopped continues where it was when it is started again. The outcome of each row is in the ledger.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np

from lookalike.data.errors import SyncRefused, UsageError
from lookalike.data.feeds.feed import Feed
from lookalike.data.fetch.fetched import FetchCounts
from lookalike.data.fetch.settings import FetchSettings
from lookalike.data.item import CellWarning, Item, Rejected
from lookalike.models import Encoder
from lookalike.retrieval.core import Core
from lookalike.retrieval.ingest.item_pictures import LoadedImage, PictureLoader, encode_pictures
from lookalike.retrieval.ingest.loader import Job, Loader
from lookalike.retrieval.ingest.removals import Survey, leaving_after
from lookalike.retrieval.ingest.retries import Retried
from lookalike.retrieval.ingest.row_decision import Decider, Decision, Fate
from lookalike.retrieval.ingest.worker_pool import Crew
from lookalike.retrieval.item_writes import by_current_fields
from lookalike.retrieval.store.commits import FieldsMoved
from lookalike.retrieval.store.ledger import FeedRun, LedgerEntry, Note, Notes, Rename
from lookalike.retrieval.stored_rows import ItemWrite

__all__ = ["MOST_KEPT", "IndexReport", "IndexRun", "RunOptions"]

MOST_KEPT = 100
"""The most rejects, renames and warnings in a report; the ledger has all of them."""

_COMMIT_EVERY_S = 2.0
_MAX_UNCOMMITTED_ROWS = 2_000

_Loaded = tuple[Job, list[LoadedImage]]
_Batch = tuple[list[_Loaded], Future[int]]


class RunOptions(TypedDict, total=False):
    """The options of a run, or of a dry run, over a feed; see `IndexRun`."""

    restart: bool
    retry: bool
    sync: bool
    force: bool


@dataclass(slots=True)
class IndexReport:
    """The progress of a run: items by outcome, pictures fetched and encoded, and the first rejects and renames.

    `warnings` counts the values that could not be used, and `warned` has the first of them with their row numbers.
    `run` is its number in the ledger, or 0 before it has begun. `missing` is the number of items that the feed brought
    earlier and no longer has, but the catalog has; it is known when the feed has been read to the end.

    >>> report = catalog.index("products.csv").finish()
    >>> report.unchanged, [(one.row, one.reason) for one in report.rejects]
    (8, [(9, 'There is no such file.')])
    """

    rows: int = 0
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    renamed: int = 0
    deleted: int = 0
    missing: int = 0
    encoded: int = 0
    fetched: FetchCounts = field(default_factory=FetchCounts)
    seconds: float = 0.0
    rejects: list[Rejected] = field(default_factory=list)
    renames: list[Rename] = field(default_factory=list)
    warnings: int = 0
    warned: list[tuple[int, CellWarning]] = field(default_factory=list)
    run: int = 0

    @property
    def images_per_second(self) -> float:
        """Pictures encoded per second.

        >>> catalog.index("products.csv").finish().images_per_second  # nothing was encoded again
        0.0
        """
        return self.encoded / self.seconds if self.seconds else 0.0


class IndexRun:
    """One run over a feed. Iterating over it runs it and yields the report so far, several times a second.

    If the iteration is broken off, what was committed stays, and the next run does the rest. `retry` takes only the
    rows that are rejected in the ledger. `sync` removes, when the feed has been read to the end, the items that it
    brought earlier and no longer has, and that no other feed has, unless they are more than half; `force` removes them
    in any case. With `sync`, a file that was moved replaces its item at once. With `partial`, the feed is only some
    rows of one, and other rows are not missing. `count` is the number of rows to process.
    """

    def __init__(
        self,
        core: Core,
        feed: Feed,
        *,
        restart: bool = False,
        retry: bool = False,
        sync: bool = False,
        force: bool = False,
        partial: bool = False,
        fetch: FetchSettings | None = None,
    ) -> None:
        if sync and (retry or partial):
            raise UsageError("A run takes either all rows, removing items that are gone, or some rows: not both.")
        self.report = IndexReport()
        self._core = core
        self._feed = feed
        self._sync, self._force, self._partial, self._some = sync, force, partial, partial or retry
        retried = Retried(feed, core.records.ledger) if retry else None
        self.count = feed.count if retried is None else retried.count
        self._loader = Loader(
            core,
            retried or feed,
            PictureLoader(core, restart=restart),
            restart=restart,
            fetch=fetch or FetchSettings(),
        )
        self._stored_schema = core.records.schema()
        self._decider = Decider(self._stored_schema, restart=restart)
        self._survey: Survey | None = None
        self._notes: list[Note] = []
        self._file = core.file
        self._encoders: dict[str, Encoder] = {
            space: core.models.of(self._file, space) for space in self._file.picture_spaces
        }

    def __iter__(self) -> Iterator[IndexReport]:
        """Run, yielding the report.

        Raises:
            CatalogBusy: another process is indexing into the catalog.
            SyncRefused: too many items would be removed without `force`; none was removed.
        """
        started = time.monotonic()
        records = self._core.records
        with self._core.writer():
            if self._sync:
                self._survey = Survey.of(self._feed, records.ledger)
                self._survey.check(force=self._force)
            run = records.begin_run(self._feed.name, partial=self._partial, source=self._feed.source)
            self.report.run = run.id
            with Crew(list(self._encoders.values())) as crew, closing(self._rows(run, crew)) as rows:
                for _ in rows:
                    self.report.seconds = time.monotonic() - started
                    yield self.report
            if not self._some:
                self._finish(run)
        self.report.seconds = time.monotonic() - started
        yield self.report

    def rejects(self) -> Iterator[LedgerEntry]:
        """Yield everything that the run rejected. Call this after the run."""
        return self._core.records.ledger.rejects_of(self.report.run)

    def finish(self) -> IndexReport:
        """Run to the end and return the last report."""
        for _ in self:
            pass
        return self.report

    def _rows(self, run: FeedRun, crew: Crew) -> Generator[None]:
        """Process the rows one after another, in batches for the model and in batches for the records."""
        last = time.monotonic()
        waiting: list[_Loaded] = []  # until a batch is full
        encoding: deque[_Batch] = deque()
        ready: list[_Loaded] = []
        prepared = 0
        with closing(self._loader.jobs(crew)) as jobs:
            for job in jobs:
                if isinstance(job, Rejected):
                    self._reject(job, Note.of(job))
                elif job is not None:  # None: the next row is still being fetched
                    loaded = job.images.result()
                    prepared += sum(image.prepared is not None for image in loaded)
                    waiting.append((job, loaded))
                now = time.monotonic()
                due = now - last > _COMMIT_EVERY_S
                full = prepared >= crew.batch_images or len(waiting) >= _MAX_UNCOMMITTED_ROWS
                if full or (due and prepared):
                    encoding.append((waiting, crew.encode(self._encode, waiting)))
                    waiting, prepared = [], 0
                while encoding and (encoding[0][1].done() or len(encoding) > crew.most_batches):
                    ready += self._encoded(*encoding.popleft())
                if not prepared and not encoding:
                    ready += waiting
                    waiting = []
                self.report.rows += job is not None
                self.report.fetched = self._loader.counts
                if due or len(ready) + len(self._notes) >= _MAX_UNCOMMITTED_ROWS:
                    self._commit(run, ready)
                    ready, last = [], now
                yield
            encoding.append((waiting, crew.encode(self._encode, waiting)))
            for batch in encoding:
                ready += self._encoded(*batch)
            self._commit(run, ready)

    def _finish(self, run: FeedRun) -> None:
        """Record the items that the feed no longer has, and remove them if that was asked for."""
        records, ledger = self._core.records, self._core.records.ledger
        records.finish_run(run)
        self.report.missing = ledger.count_missing(run.feed)
        if self._survey is not None:
            leaving = leaving_after(run, ledger)
            why = self._survey.refusal(len(leaving), force=self._force)
            if why is not None:
                raise SyncRefused(why)
            if leaving:
                self.report.deleted = records.remove_missing(
                    run.feed, list(leaving), list(leaving.values()), summary=f"sync {run.feed}"
                )
                self.report.missing = ledger.count_missing(run.feed)

    def _reject(self, one: Rejected, note: Note | None = None) -> None:
        self.report.rejected += 1
        if len(self.report.rejects) < MOST_KEPT:
            self.report.rejects.append(one)
        if note is not None:
            self._notes.append(note)

    def _warn(self, item: Item) -> None:
        self.report.warnings += len(item.warnings)
        room = MOST_KEPT - len(self.report.warned)
        self.report.warned += [(item.row, one) for one in item.warnings[: max(room, 0)]]

    def _encode(self, jobs: Sequence[_Loaded]) -> int:
        return encode_pictures([image for _, loaded in jobs for image in loaded], self._encoders)

    def _encoded(self, jobs: list[_Loaded], done: Future[int]) -> list[_Loaded]:
        self.report.encoded += done.result()
        return jobs

    def _commit(self, run: FeedRun, jobs: Sequence[_Loaded]) -> None:
        """Write the decisions on some rows, and their outcomes in the ledger, in one transaction.

        If one of their fields was changed since the catalog's fields were last read, they are decided again.
        """
        renamed: dict[str, Rename] = {}

        def write() -> list[Decision]:
            decisions = [self._decider.decide(job, loaded) for job, loaded in jobs]
            notes = [*self._notes, *(note for decision in decisions for note in decision.notes())]
            changed = [decision for decision in decisions if decision.fate in (Fate.ADD, Fate.UPDATE)]
            for decision in changed:
                if decision.item.key not in renamed and (rename := self._rename(decision)) is not None:
                    renamed[decision.item.key] = rename
            if not changed:
                if notes:
                    self._core.records.note(Notes(run, notes))
                return decisions
            renames = [renamed[one.item.key] for one in changed if one.item.key in renamed]
            self._put(changed, Notes(run, notes, renames))
            return decisions

        decisions = by_current_fields(write)
        self._notes = []
        for decision in decisions:
            for _, one in decision.rejects:
                self._reject(one)
            if decision.fate is not Fate.REJECT:
                self._warn(decision.item)
        renames = list(renamed.values())
        self.report.added += sum(decision.fate is Fate.ADD for decision in decisions) - len(renames)
        self.report.updated += sum(decision.fate is Fate.UPDATE for decision in decisions)
        self.report.unchanged += sum(decision.fate is Fate.LEAVE for decision in decisions)
        self.report.renamed += len(renames)
        self.report.renames += renames[: max(MOST_KEPT - len(self.report.renames), 0)]

    def _put(self, changed: Sequence[Decision], notes: Notes) -> None:
        """Write items in one transaction.

        Raises:
            FieldsMoved: one of their fields was changed meanwhile; the next decisions use the current fields.
        """
        records, schema = self._core.records, self._decider.schema
        names = {name for decision in changed for name in decision.item.fields}
        try:
            records.upsert(
                self._with_titles([decision.write for decision in changed if decision.write is not None]),
                schema=schema.only(names),
                before=self._stored_schema,
                summary=f"index {self._feed.name}",
                notes=notes,
                stored=self._file.stored,
            )
        except FieldsMoved:
            self._stored_schema = records.schema()
            self._decider.follow(self._stored_schema)
            raise
        self._stored_schema = schema

    def _rename(self, decision: Decision) -> Rename | None:
        if self._survey is None or decision.fate is not Fate.ADD or decision.write is None:
            return None
        return self._survey.rename(decision.write)

    def _with_titles(self, writes: Sequence[ItemWrite]) -> list[ItemWrite]:
        """Add the vectors of new titles, encoded in one batch."""
        new = [
            place
            for place, write in enumerate(writes)
            if self._file.reads_texts and write.title_vector is None and write.title
        ]
        vectors: Mapping[int, bytes] = {}
        if new:
            rows = (
                self._encoders["image"].encode_titles([writes[place].title or "" for place in new]).astype(np.float16)
            )
            vectors = {place: row.tobytes() for place, row in zip(new, rows, strict=True)}
        return [
            ItemWrite(write.key, write.title, write.fields, write.images, vectors[place]) if place in vectors else write
            for place, write in enumerate(writes)
        ]

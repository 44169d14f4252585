"""Changing the models of a catalog: a second set of vectors beside the old one while search goes on, then a swap.

The new vectors are written beside the old ones, a transaction every few seconds, so a killed run continues where it
was. When every picture has one, a generation with both sets is built, the two are compared, and one transaction puts
the new set into use. The old one stays, so that changing back is as quick.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from lookalike.data.counted import counted
from lookalike.data.errors import CatalogBusy, FeedError, OriginalsMissing
from lookalike.data.feeds.feed import Feed, open_feed
from lookalike.data.fetch.settings import FetchSettings
from lookalike.retrieval.core import Core
from lookalike.retrieval.evaluation.judged_queries import JudgedQuery, kept_queries
from lookalike.retrieval.evaluation.model_comparison import Comparison, compare
from lookalike.retrieval.ingest.feed_identity import as_known
from lookalike.retrieval.reencode.originals import Originals
from lookalike.retrieval.reencode.target import Target
from lookalike.retrieval.spaces.space_sets import SpaceSets
from lookalike.retrieval.store.stored_spaces import ImageVector, TitleVector

__all__ = ["ReencodeOptions", "ReencodeReport", "Reencoding"]

Answer = TypeVar("Answer")

MOST_NAMED = 5
"""The most keys of missing pictures that a message names."""

_WRITE_EVERY_S = 2.0
_TITLES_AT_ONCE = 256
_BUSY_FOR_S = 300.0
_BUSY_PAUSE_S = 0.2
_MOST_ROUNDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ReencodeOptions:
    """Options of a change of models.

    `restart` starts over if another change is unfinished. `from_thumbnails` encodes a picture that cannot be found from
    its thumbnail; `drop_missing` leaves it without a vector, so that it is not found by its appearance. `hold` makes
    and compares the new set, and leaves the old one in use until the next run.

    >>> *_, report = catalog.reencode(appearance="compact", options=ReencodeOptions(hold=True))
    >>> report.pictures, report.swapped
    (11, False)
    """

    restart: bool = False
    from_thumbnails: bool = False
    drop_missing: bool = False
    hold: bool = False
    fetch: FetchSettings = field(default_factory=FetchSettings)


@dataclass(slots=True)
class ReencodeReport:
    """The progress of a change: the models before and after, the current phase, and how much of it is done.

    `pictures`, `titles` and `copied` count the vectors written; `thumbnails` counts the pictures encoded from
    thumbnails. `lacking` is the number of pictures that stay without a vector. `notes` name feeds that could not be
    read.
    """

    old: str = ""
    new: str = ""
    phase: str = "Looking at the catalog"
    done: int = 0
    total: int = 0
    pictures: int = 0
    titles: int = 0
    copied: int = 0
    thumbnails: int = 0
    lacking: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    comparison: Comparison | None = None
    swapped: bool = False


class Reencoding:
    """One change of models. Iterating over it runs it and yields the report so far, several times a second.

    `model` reads words and pictures; `appearance` compares pictures in a second space ("none" removes it). Without
    either, an unfinished change is continued, or vectors that the current models lack are made. The pictures are read
    from `feeds`, or from where the catalog's feeds were last read. Both sets are compared on `queries`, or on those
    that the catalog keeps.
    """

    def __init__(
        self,
        core: Core,
        *,
        model: str | None = None,
        appearance: str | None = None,
        feeds: Sequence[Feed] = (),
        queries: Sequence[JudgedQuery] = (),
        options: ReencodeOptions | None = None,
    ) -> None:
        self.report = ReencodeReport()
        self._core = core
        self._spaces = core.records.spaces
        self._model, self._appearance = model, appearance
        self._feeds = feeds
        self._queries = queries
        self._options = options or ReencodeOptions()
        self._started = time.monotonic()

    def __iter__(self) -> Iterator[ReencodeReport]:
        """Run, yielding the report.

        Raises:
            UsageError: there is nothing to do, or another change is unfinished.
            OriginalsMissing: pictures cannot be found; encoded vectors are kept, and the old set stays in use.
            CatalogBusy: another process is indexing into the catalog.
        """
        self._started = time.monotonic()
        with self._core.writer():
            target = Target.of(self._core, self._model, self._appearance, restart=self._options.restart)
            self.report.old, self.report.new = self._core.file.models, target.file.models
            for _ in range(_MOST_ROUNDS):
                for _ in self._round(target):
                    self.report.seconds = time.monotonic() - self._started
                    yield self.report
                if self._options.hold or self.report.swapped:
                    break
        self.report.seconds = time.monotonic() - self._started
        yield self.report

    def _round(self, target: Target) -> Iterator[None]:
        """Build the missing vectors, compare, and swap; titles that change meanwhile are left to the next round."""
        report = self.report
        written = report.pictures + report.titles + report.copied
        yield from self._copy(target.copies)
        if target.picture_spaces:
            yield from self._encode_pictures(target)
        yield from self._encode_titles(target)
        sets = self._core.sets
        new = written < report.pictures + report.titles + report.copied
        if new or not sets.built:
            self._phase("Building the search index", 0)
            yield
            if not sets.built:
                self._mark_built(sets)
            self._when_free(self._core.newest.optimize)
        if report.comparison is None and target.made_new and (new or self._queries or self._options.hold):
            yield from self._compare(target)
        if not self._options.hold:
            self._phase("Changing over", 0)
            yield
            self._swap(target)

    def _copy(self, pairs: Sequence[tuple[str, str]]) -> Iterator[None]:
        """Copy the vectors of spaces that are rebuilt with the model they already had."""
        for source, goal in pairs:
            self._phase("Copying vectors", self._core.records.count_vectors().get(source, 0))
            for count in self._spaces.copy(source, goal):
                self.report.copied += count
                self.report.done += count
                yield

    def _encode_pictures(self, target: Target) -> Iterator[None]:
        lacking = max(map(self._spaces.count_lacking, target.stored))
        self._phase("Encoding pictures", lacking)
        if not lacking and not target.bare:
            self.report.lacking = 0
            return
        originals = Originals(self._core, target.file, target.picture_spaces, only_changed=bool(target.kept))
        for feed in self._feeds or self._remembered():
            yield from self._write(originals.from_feed(feed, self._options.fetch))
            if not originals.count():
                break
        if target.kept:
            yield from self._keep(target, originals)
        if self._options.from_thumbnails and originals.count():
            before = self.report.pictures
            self._phase("Encoding thumbnails", originals.count())
            yield from self._write(originals.from_thumbnails())
            self.report.thumbnails += self.report.pictures - before
        self._check_missing(target, originals)

    def _keep(self, target: Target, originals: Originals) -> Iterator[None]:
        """Copy the vectors of pictures that are decoded as before, and of those that were not found."""
        unseen = originals.count_unseen()
        if unseen:
            self.report.notes.append(
                f"{counted(unseen, 'picture')} could not be found at the source; the vectors are kept as they were."
            )
        yield from self._copy(target.kept)

    def _remembered(self) -> Iterator[Feed]:
        """Yield the feeds of the catalog, opened where they were last read."""
        types = self._core.records.schema()
        for name, source in self._core.records.ledger.sources().items():
            try:
                feed = open_feed(Path(source.path), types=types, **source.options)
            except FeedError as error:
                self.report.notes.append(f"The feed {name} cannot be read from its source: {error}")
                continue
            yield feed if feed.folder is None else as_known(feed, name, self._core.records.ledger)

    def _write(self, vectors: Iterator[list[ImageVector]]) -> Iterator[None]:
        """Write vectors as they arrive, a transaction every few seconds."""
        waiting: list[ImageVector] = []
        last = time.monotonic()
        for some in vectors:
            waiting += some
            self.report.done += len({one.image.id for one in some if one.image.live})
            if waiting and time.monotonic() - last > _WRITE_EVERY_S:
                self._put(waiting)
                waiting, last = [], time.monotonic()
            yield
        if waiting:
            self._put(waiting)
            yield

    def _put(self, vectors: Sequence[ImageVector]) -> None:
        self._spaces.put_images(vectors)
        self.report.pictures += len({one.image.id for one in vectors if one.image.live})

    def _check_missing(self, target: Target, originals: Originals) -> None:
        """Refuse to continue without pictures that could not be found, unless that was asked for."""
        self.report.lacking = originals.count()
        if self._options.drop_missing or not (self.report.lacking or target.bare):
            return
        keys = []
        for image in originals.lacking():
            if image.key is not None and image.key not in keys:
                keys.append(image.key)
            if len(keys) > MOST_NAMED:
                break
        named = ", ".join(keys[:MOST_NAMED]) + (", ..." if len(keys) > MOST_NAMED else "")
        parts = []
        if self.report.lacking:
            lacking = counted(self.report.lacking, "picture")
            was = "was" if self.report.lacking == 1 else "were"
            parts.append(f"{lacking} {was} not found at the source (items {named})")
        if target.bare:
            parts.append(f"{counted(target.bare, 'item')} with a vector but no picture")
        raise OriginalsMissing(
            f"{' and '.join(parts)}. The catalog stays with {self.report.old}; encoded vectors are kept. Name where "
            f"the pictures are (lookalike reencode {self._core.folder.name} SOURCE...), or continue without them: "
            "--from-thumbnails encodes the thumbnails, --drop-missing leaves such pictures without a vector."
        )

    def _encode_titles(self, target: Target) -> Iterator[None]:
        space = target.title_space
        if space is None:
            return
        self._phase("Encoding titles", self._spaces.count_lacking_titles(space))
        for spans in self._spaces.lacking_titles(space):
            for start in range(0, len(spans), _TITLES_AT_ONCE):
                some = spans[start : start + _TITLES_AT_ONCE]
                encoder = self._core.models.of(target.file)
                rows = encoder.encode_titles([span.title for span in some]).astype(np.float16)
                vectors = [TitleVector(space, span, row.tobytes()) for span, row in zip(some, rows, strict=True)]
                count = self._spaces.put_titles(vectors)
                self.report.titles += count
                self.report.done += count
                yield

    def _mark_built(self, sets: SpaceSets) -> None:
        with self._spaces.changing(sets.version) as write:
            write(replace(sets, built=True).to_json())

    def _compare(self, target: Target) -> Iterator[None]:
        queries = self._queries or kept_queries(self._core.folder)
        self._phase("Comparing", 2 * len(queries))
        for step in compare(self._core, self._core.file, target.file, queries):
            if isinstance(step, Comparison):
                self.report.comparison = step
            else:
                self.report.done = step
                self.report.total = max(self.report.total, step)
            yield

    def _swap(self, target: Target) -> None:
        """Put the new set into use, if it lacks nothing that it did not lack a moment ago."""
        sets = self._core.sets
        previous = sets.active if target.made_new else sets.previous
        swapped = SpaceSets(target.file, previous=previous, version=sets.version).without_unused(before=sets)

        def unless() -> str | None:
            if sum(map(self._spaces.count_lacking, target.stored)) > self.report.lacking * len(target.stored):
                return "pictures"
            if target.title_space is not None and self._spaces.count_lacking_titles(target.title_space):
                return "titles"
            return None

        self.report.swapped = self._when_free(lambda: self._core.newest.change_sets(swapped, unless)) is None

    def _when_free(self, work: Callable[[], Answer]) -> Answer:
        """Call `work`, waiting while another process is busy, for example optimizing."""
        until = time.monotonic() + _BUSY_FOR_S
        while True:
            try:
                return work()
            except CatalogBusy:
                if time.monotonic() > until:
                    raise
                time.sleep(_BUSY_PAUSE_S)

    def _phase(self, name: str, total: int) -> None:
        self.report.phase, self.report.done, self.report.total = name, 0, total

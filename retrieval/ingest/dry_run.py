"""A dry run over a feed: finds out what a run would do without writing anything.

Every picture is read and hashed. If the catalog does not know its bytes, it is decoded as well, to detect files that
are not pictures. Nothing is encoded or fetched: a picture behind an address is assumed to be unchanged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import orjson

from lookalike.data.errors import UsageError
from lookalike.data.feeds.feed import Feed
from lookalike.data.fetch.fetched import Fetched
from lookalike.data.item import ItemImage, Json, Rejected, Value
from lookalike.data.pictures.image_decoder import Picture, decode
from lookalike.data.pictures.picture_sources import Address
from lookalike.retrieval.core import Core
from lookalike.retrieval.ingest.item_pictures import LoadedImage, PictureLoader, Stored
from lookalike.retrieval.ingest.loader import Loader
from lookalike.retrieval.ingest.removals import Survey
from lookalike.retrieval.ingest.retries import Retried
from lookalike.retrieval.ingest.row_decision import Decider, Decision, Fate
from lookalike.retrieval.ingest.worker_pool import Crew
from lookalike.retrieval.schema import FieldType, Schema

__all__ = ["Action", "Change", "DryRun"]

_NUMBERS = (FieldType.INT, FieldType.FLOAT)
_IDS_AT_ONCE = 1_000


class Action(StrEnum):
    """What would be done. `REPRICE` is an update of number fields alone."""

    ADD = "add"
    UPDATE = "update"
    REPRICE = "reprice"
    RENAME = "rename"
    DELETE = "delete"
    REJECT = "reject"
    LEAVE = "unchanged"


@dataclass(frozen=True, slots=True)
class Change:
    """The change for a row, one of its pictures (`REJECT` with a source), or an item that the feed no longer has.

    `fields` has the old and the new value of each field that changes, including `title`. `pictures` is "changed" if the
    bytes of a picture change, otherwise "renamed" or "reordered", or None. `old_key` is the previous key of a file that
    was moved.
    """

    action: Action
    key: str | None
    row: int | None = None
    fields: Mapping[str, tuple[Value, Value]] = field(default_factory=dict)
    pictures: str | None = None
    old_key: str | None = None
    reason: str | None = None
    source: str | None = None


class _Glancing(PictureLoader):
    """Loads pictures as for indexing, but only decodes them to check that they are pictures."""

    unfetched = 0

    def _load_place(self, image: ItemImage, fetched: Future[Fetched] | None, stored: Stored) -> list[LoadedImage]:
        if not isinstance(image.place, Address):
            return super()._load_place(image, fetched, stored)
        self.unfetched += 1
        same = next((one for images in stored.values() for one in images if one.source == image.source), None)
        if same is None:
            return [LoadedImage(image.source)]
        stored[same.sha256].remove(same)
        return [LoadedImage(image.source, same.sha256, same.width, same.height, kept=same.id)]

    def _decoded(self, source: str, digest: bytes, content: bytes) -> LoadedImage:
        return self._prepared(source, digest, decode(content, min_side=1))

    def _prepared(self, source: str, digest: bytes, picture: Picture) -> LoadedImage:
        return LoadedImage(source, digest, picture.width, picture.height)


class DryRun:
    """A dry run over a feed. Iterating over it yields the change for each row in order, and then the removals.

    `counts` are the actions so far, `pictures` the numbers of items by how their pictures would change, and `rows` the
    number of rows processed, of `count` in all. `missing` is the number of items that the feed no longer has and the
    catalog would keep. `refused` is the reason why a removal would be refused, or None.
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
    ) -> None:
        if sync and retry:
            raise UsageError("A run takes either all rows, removing items that are gone, or some rows: not both.")
        self.counts: Counter[Action] = Counter()
        self.pictures: Counter[str] = Counter()
        self.rows = 0
        self.missing = 0
        self.refused: str | None = None
        self._core = core
        self._feed = feed
        self._sync, self._force, self._retry = sync, force, retry
        retried = Retried(feed, core.records.ledger) if retry else None
        self.count = feed.count if retried is None else retried.count
        self._pictures = _Glancing(core, restart=restart)
        self._loader = Loader(core, retried or feed, self._pictures, restart=restart, fetch=None)
        self._decider = Decider(core.records.schema(), restart=restart)

    @property
    def unfetched(self) -> int:
        """The number of pictures behind addresses, which were not checked."""
        return self._pictures.unfetched

    def __iter__(self) -> Iterator[Change]:
        """Yield the changes."""
        survey = None if self._retry else Survey.of(self._feed, self._core.records.ledger)
        moved: set[int] = set()
        with Crew(()) as crew, closing(self._loader.jobs(crew)) as jobs:
            for job in jobs:
                if isinstance(job, Rejected):
                    yield self._counted(_rejection(job))
                elif job is not None:
                    decision = self._decider.decide(job, job.images.result())
                    for _, one in decision.rejects:
                        yield self._counted(_rejection(one))
                    rename = None
                    if survey is not None and self._sync and decision.fate is Fate.ADD and decision.write is not None:
                        rename = survey.rename(decision.write)
                    if rename is not None:
                        moved.add(rename.item)
                        yield self._counted(Change(Action.RENAME, rename.new, job.item.row, old_key=rename.old))
                    elif decision.fate is not Fate.REJECT:
                        yield self._counted(_change_of(decision, self._decider.schema))
                self.rows += 1
        if survey is not None:
            yield from self._leaving([item for item in survey.leaving if item not in moved], survey)
            self.missing = survey.missing - len(moved) - (0 if self.refused else self.counts[Action.DELETE])

    def _leaving(self, items: Sequence[int], survey: Survey) -> Iterator[Change]:
        """Yield the deletions."""
        if not self._sync:
            return
        self.refused = survey.refusal(len(items), force=self._force)
        for start in range(0, len(items), _IDS_AT_ONCE):
            for row in self._core.records.items(np.array(items[start : start + _IDS_AT_ONCE], dtype=np.int64)):
                yield self._counted(Change(Action.DELETE, row.key))

    def _counted(self, change: Change) -> Change:
        self.counts[change.action] += 1
        if change.pictures is not None:
            self.pictures[change.pictures] += 1
        return change


def _rejection(one: Rejected) -> Change:
    return Change(Action.REJECT, one.key, one.row, reason=one.reason, source=one.source)


def _change_of(decision: Decision, schema: Schema) -> Change:
    item, known, write = decision.item, decision.known, decision.write
    if known is None or write is None:
        return Change(Action.ADD, item.key, item.row)
    if decision.fate is Fate.LEAVE:
        return Change(Action.LEAVE, item.key, item.row)
    old, new = (_present(fields) for fields in (known.row.fields, write.fields))
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    fields: dict[str, tuple[Value, Value]] = {
        name: (schema.restore(name, old.get(name)), schema.restore(name, new.get(name))) for name in names
    }
    numbers_only = bool(fields) and all(schema[name] in _NUMBERS for name in fields)
    if known.row.title != write.title:
        fields["title"] = known.row.title, write.title
        numbers_only = False
    stored = [(image.sha256, image.source) for image in known.images]
    found = [(image.sha256, image.source) for image in write.images or ()]
    pictures = None
    if sorted(sha256 for sha256, _ in stored) != sorted(sha256 for sha256, _ in found):
        pictures = "changed"
    elif stored != found:
        pictures = "reordered" if sorted(stored) == sorted(found) else "renamed"
    action = Action.REPRICE if numbers_only and pictures is None else Action.UPDATE
    return Change(action, item.key, item.row, fields, pictures)


def _present(fields: str) -> dict[str, Json]:
    return {name: value for name, value in orjson.loads(fields).items() if value is not None}

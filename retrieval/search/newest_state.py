"""The newest state of a catalog, kept up with the commits of every process."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from lookalike.data.catalog_layout import GENERATIONS, OPTIMIZE_LOCK
from lookalike.data.errors import CatalogDamaged, CatalogReadOnly, LookalikeError
from lookalike.retrieval.files import forks
from lookalike.retrieval.files.storage import locked
from lookalike.retrieval.generations.generation import (
    open_generation,
    remove_generation,
    remove_other_generations,
    spaces_in,
    write_generation,
)
from lookalike.retrieval.generations.segment import Segment, load_segment
from lookalike.retrieval.search.earlier_states import EarlierStates
from lookalike.retrieval.search.segmented_state import SegmentedState
from lookalike.retrieval.spaces.catalog_file import CatalogFile
from lookalike.retrieval.spaces.space_sets import SpaceSets
from lookalike.retrieval.store.records import Records
from lookalike.retrieval.vector_index import IndexKind

__all__ = ["NewestState"]

_MAX_SEGMENTS = 8

_LOOK_EVERY_S = 0.002
"""So often at most it is looked whether another process has written: between searches that takes a tenth of their time.
"""

log = logging.getLogger("lookalike")


class NewestState:
    """Gives the current state, and folds the tail into a new generation; `changed` is told of a change of models."""

    def __init__(
        self,
        records: Records,
        file: CatalogFile,
        changed: Callable[[SpaceSets], None] = lambda sets: None,
    ) -> None:
        self._records = records
        self._made_as = file
        self._changed = changed
        self._sets = SpaceSets(file, version=-1)
        self._lock = forks.ForkSafeLock()
        self._state: SegmentedState | None = None
        self._past = EarlierStates(records)
        self._generation: str | None = None
        self._broken: str | None = None
        self._newest_until = 0.0
        self._own_commits = -1

    def close(self) -> None:
        """Drop the state, whose files stay open as long as somebody else holds it."""
        self._state = None

    @property
    def generation(self) -> str | None:
        """The name of the generation in use; None while everything is in memory."""
        return self._generation

    def sets(self) -> SpaceSets:
        """Return the sets of spaces as they are now; a change by any process is in what is next asked for."""
        sets = self._sets
        if sets.version == self._records.version()[2]:
            return sets
        return SpaceSets.of(self._made_as, *self._records.spaces.facts())

    def state(self) -> SegmentedState:
        """Return the state as of the newest commit of this process, and of any other a few milliseconds ago.

        Raises:
            UsageError: the process is a fork of one that has searched.
        """
        forks.needs_threads()
        state = self._state
        now, commits = time.perf_counter(), self._records.own_commits
        if state is not None and now < self._newest_until and commits == self._own_commits:
            return state
        if state is not None and (state.seq, self._generation, self._sets.version) == self._records.version():
            self._newest_until, self._own_commits = now + _LOOK_EVERY_S, commits
            return state
        with self._lock:
            state = self._newest()
            if self._broken is not None and self._generation != self._records.version()[1]:
                state = self._newest()  # another process has put a new generation in its place and removed it
            if self._broken is not None:
                self._make_anew(self._broken)
                self._broken = None
            return state

    def _newest(self) -> SegmentedState:
        self._broken = None
        with self._records.snapshot():
            return self._refreshed()

    def _make_anew(self, reason: str) -> None:
        """Say that the generation is damaged, and make another where that can be done; answers are right without."""
        log.warning("The generation %s cannot be used: %s The records answer.", self._generation, reason)
        try:
            self.optimize()
        except CatalogReadOnly as error:
            log.warning("It stays as it is, and searches are slower for it: %s", error)
        except LookalikeError as error:  # busy, no room
            log.warning("The generation could not be made anew: %s", error)

    def state_as_of(self, as_of: int) -> SegmentedState:
        """Return the state after an earlier commit.

        Raises:
            UsageError: that state has been purged.
        """
        newest = self.state()
        if newest.seq == as_of:
            return newest
        return self._past.state(newest, as_of)

    def state_by(self, file: CatalogFile) -> SegmentedState:
        """Return the newest state by the models of another set of spaces, which the generation in use should have."""
        forks.needs_threads()
        with self._records.snapshot():
            seq, generation, _ = self._records.version()
            state, broken = self._base(file, generation, seq)
            if broken is not None:
                log.warning("The generation %s cannot be used: %s The records answer.", generation, broken)
            return self._caught_up(state, seq) if state.seq < seq else state

    def _refreshed(self) -> SegmentedState:
        seq, generation, version = self._records.version()
        state = self._state
        if version != self._sets.version:
            self._sets = SpaceSets.of(self._made_as, *self._records.spaces.facts())
            self._changed(self._sets)
            if state is not None and state.file != self._sets.active:
                state = None
        if state is None or generation != self._generation or state.segments[0].seq < self._records.purged_before():
            state = self._opened(generation, seq)
        if state.seq < seq:
            state = self._caught_up(state, seq)
        self._state = state
        return state

    def optimize(self, kind: IndexKind | None = None, *, retrain: bool = False) -> str:
        """Build a generation of everything committed, put it in place of the one before, and return its name.

        Without a kind the index is of the kind of the generation before, at first `auto`. What that one has learned
        is taken over where it serves, unless it is to `retrain`.

        Raises:
            CatalogBusy: another process is doing so.
            CatalogReadOnly: the catalog's folder cannot be written to.
            StorageFailed: there is no room; the generation before stays in use.
        """
        forks.needs_threads()
        with locked(self._records.folder.path / OPTIMIZE_LOCK, "optimizing"):
            return self._optimize(kind, retrain)

    def change_sets(self, new: SpaceSets, unless: Callable[[], str | None] = lambda: None) -> str | None:
        """Put other sets of spaces in place of those that they were made from, in one transaction.

        A generation that lacks one of the spaces which it should have is made anew first. `unless` is asked within the
        transaction: where it says why not, that is returned and nothing is changed.

        Raises:
            CatalogBusy: another process is optimizing the catalog, or has changed the sets.
        """
        forks.needs_threads()
        with locked(self._records.folder.path / OPTIMIZE_LOCK, "optimizing"):
            generation = self._records.version()[1]
            needed = {space.stored for space in new.active.spaces.values()}
            if generation is not None and not needed <= spaces_in(self._generations / generation):
                self._optimize(None, False)
            with self._records.spaces.changing(new.version) as write:
                why = unless()
                if why is None:
                    write(new.to_json())
            return why

    def _optimize(self, kind: IndexKind | None, retrain: bool) -> str:
        kind = kind or IndexKind(self._records.index_kind() or IndexKind.AUTO)
        before = None if retrain else self._predecessor()
        name = write_generation(self._generations, self._records, self.sets().in_generations, kind, before)
        try:
            self._records.put_generation(name, kind)
        except BaseException:
            if self._records.version()[1] != name:
                remove_generation(self._generations, name)
            raise
        remove_other_generations(self._generations, keep=name)
        return name

    def _predecessor(self) -> Segment | None:
        """Open the generation before with every byte compared, for the next takes over of it; None: it is damaged."""
        name = self._records.version()[1]
        if name is None:
            return None
        try:
            return open_generation(self._generations / name, self.sets().in_generations, to_search=False)
        except CatalogDamaged as error:
            if self._broken is None:  # else that was said
                log.warning("The generation %s cannot be used: %s The next is made without it.", name, error)
            return None

    @property
    def _generations(self) -> Path:
        return self._records.folder.path / GENERATIONS

    def _opened(self, generation: str | None, seq: int) -> SegmentedState:
        """Open a generation, and remember what is wrong with one that is missing or damaged."""
        self._generation = generation
        state, self._broken = self._base(self._sets.active, generation, seq)
        return state

    def _base(self, file: CatalogFile, generation: str | None, seq: int) -> tuple[SegmentedState, str | None]:
        """Open a generation; of one that is missing or damaged, say why, and read everything from the records."""
        schema = self._records.schema()
        reason = None
        if generation is not None:
            try:
                segment = open_generation(self._generations / generation, file.spaces)
                if self._records.purged_before() <= segment.seq <= seq:
                    return SegmentedState([segment], [None], schema, segment.seq, file), None
                reason = f"It is of commit {segment.seq}, older than what is kept or newer than the newest, {seq}."
            except CatalogDamaged as error:
                reason = str(error)
        segment = load_segment(self._records, schema, file.spaces, seq)
        return SegmentedState([segment], [None], schema, seq, file), reason

    def _caught_up(self, state: SegmentedState, seq: int) -> SegmentedState:
        schema = self._records.schema()
        base = state
        if len(state.segments) >= _MAX_SEGMENTS:  # read all of the tail anew, as one segment
            first = state.segments[0]
            base = SegmentedState([first], [None], schema, first.seq, state.file)
        touched = self._records.touched_since(base.seq)
        segment = load_segment(self._records, schema, state.file.spaces, seq, touched)
        return base.followed_by(segment, touched, schema, seq)

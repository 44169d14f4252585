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
"""Minimum seconds between checks for commits by other processes. A check takes a tenth of the time of a search."""

log = logging.getLogger("lookalike")


class NewestState:
    """Keeps the current state, and folds the tail into a new generation. `changed` is called when the models change."""

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
        """Drop the state. Its files stay open as long as anything else refers to it."""
        self._state = None

    @property
    def generation(self) -> str | None:
        """The name of the generation in use, or None while everything is in memory."""
        return self._generation

    def sets(self) -> SpaceSets:
        """Return the current sets of spaces, including changes by other processes."""
        sets = self._sets
        if sets.version == self._records.version()[2]:
            return sets
        return SpaceSets.of(self._made_as, *self._records.spaces.facts())

    def state(self) -> SegmentedState:
        """Return the newest state. Commits of other processes show after a few milliseconds.

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
                state = self._newest()  # another process has replaced and removed the generation
            if self._broken is not None:
                self._make_anew(self._broken)
                self._broken = None
            return state

    def _newest(self) -> SegmentedState:
        self._broken = None
        with self._records.snapshot():
            return self._refreshed()

    def _make_anew(self, reason: str) -> None:
        """Log that the generation is damaged, and rebuild it if possible. Answers are correct without it."""
        log.warning("The generation %s cannot be used: %s Searches use the records.", self._generation, reason)
        try:
            self.optimize()
        except CatalogReadOnly as error:
            log.warning("The damaged generation stays as it is, and searches are slower: %s", error)
        except LookalikeError as error:  # busy, or the disk is full
            log.warning("The generation could not be rebuilt: %s", error)

    def state_as_of(self, as_of: int) -> SegmentedState:
        """Return the state after an earlier commit.

        Raises:
            UsageError: the state has been purged.
        """
        newest = self.state()
        if newest.seq == as_of:
            return newest
        return self._past.state(newest, as_of)

    def state_by(self, file: CatalogFile) -> SegmentedState:
        """Return the newest state with the models of another set of spaces, which the generation in use should have."""
        forks.needs_threads()
        with self._records.snapshot():
            seq, generation, _ = self._records.version()
            state, broken = self._base(file, generation, seq)
            if broken is not None:
                log.warning("The generation %s cannot be used: %s Searches use the records.", generation, broken)
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
        """Build a generation of everything committed, put it in place of the current one, and return its name.

        Without `kind`, the index has the kind of the current generation, initially `auto`. The training of the current
        index is reused where it still serves, unless `retrain` is set.

        Raises:
            CatalogBusy: another process is optimizing the catalog.
            CatalogReadOnly: the catalog's folder cannot be written to.
            StorageFailed: there is no room; the current generation stays in use.
        """
        forks.needs_threads()
        with locked(self._records.folder.path / OPTIMIZE_LOCK, "optimizing"):
            return self._optimize(kind, retrain)

    def change_sets(self, new: SpaceSets, unless: Callable[[], str | None] = lambda: None) -> str | None:
        """Replace the sets of spaces from which `new` was made by `new`, in one transaction.

        If the generation lacks a space that it needs, it is rebuilt first. `unless` is called within the transaction:
        if it returns a reason, the reason is returned and nothing is changed.

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
        """Open the current generation for reuse by the next one, and verify every byte; None if it is damaged."""
        name = self._records.version()[1]
        if name is None:
            return None
        try:
            return open_generation(self._generations / name, self.sets().in_generations, to_search=False)
        except CatalogDamaged as error:
            if self._broken is None:  # otherwise the damage has been logged already
                log.warning("The generation %s cannot be used: %s The next one is built without it.", name, error)
            return None

    @property
    def _generations(self) -> Path:
        return self._records.folder.path / GENERATIONS

    def _opened(self, generation: str | None, seq: int) -> SegmentedState:
        """Open a generation, and remember why if it is missing or damaged."""
        self._generation = generation
        state, self._broken = self._base(self._sets.active, generation, seq)
        return state

    def _base(self, file: CatalogFile, generation: str | None, seq: int) -> tuple[SegmentedState, str | None]:
        """Open a generation. If it is missing or damaged, read everything from the records and return the reason."""
        schema = self._records.schema()
        reason = None
        if generation is not None:
            try:
                segment = open_generation(self._generations / generation, file.spaces)
                if self._records.purged_before() <= segment.seq <= seq:
                    return SegmentedState([segment], [None], schema, segment.seq, file), None
                reason = f"It holds commit {segment.seq}, which is purged or newer than the newest, {seq}."
            except CatalogDamaged as error:
                reason = str(error)
        segment = load_segment(self._records, schema, file.spaces, seq)
        return SegmentedState([segment], [None], schema, seq, file), reason

    def _caught_up(self, state: SegmentedState, seq: int) -> SegmentedState:
        schema = self._records.schema()
        base = state
        if len(state.segments) >= _MAX_SEGMENTS:  # read the whole tail again, as one segment
            first = state.segments[0]
            base = SegmentedState([first], [None], schema, first.seq, state.file)
        touched = self._records.touched_since(base.seq)
        segment = load_segment(self._records, schema, state.file.spaces, seq, touched)
        return base.followed_by(segment, touched, schema, seq)

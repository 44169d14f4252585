"""Undoing a change of models, and removing the vectors that undoing it would need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lookalike.data.errors import UsageError
from lookalike.retrieval.core import Core
from lookalike.retrieval.spaces.space_sets import SpaceSets

__all__ = ["RollbackReport", "forget", "roll_back"]


@dataclass(frozen=True, slots=True)
class RollbackReport:
    """The models before and after, and how many newer pictures and titles have no vector of the latter."""

    old: str
    new: str
    pictures: int
    titles: int


def roll_back(core: Core) -> RollbackReport:
    """Put the previous models back into use, in one transaction; the models that were in use become the previous ones.

    Raises:
        UsageError: there are none, or another change is unfinished.
        CatalogBusy: another process is indexing into the catalog, or optimizing it.
    """
    with core.writer():
        sets = core.sets
        if sets.previous is None:
            raise UsageError("There is nothing to go back to: the catalog has the vectors of one set of models only.")
        if sets.upcoming is not None:
            name = core.folder.name
            raise UsageError(
                f"A change to {sets.upcoming.models} is unfinished. Finish it first (lookalike reencode {name})"
                f", or remove what was made for it, and the way back too: lookalike reencode {name} --forget"
            )
        back = sets.previous
        core.newest.change_sets(replace(sets, active=back, previous=sets.active))
        spaces = core.records.spaces
        lacking = max(spaces.count_lacking(back.spaces[name].stored) for name in back.picture_spaces)
        titles = spaces.count_lacking_titles(back.spaces["title"].stored) if back.reads_texts else 0
        return RollbackReport(sets.active.models, back.models, lacking, titles)


def forget(core: Core) -> Iterator[int]:
    """Remove the vectors that are not in use: those of the previous models, and of an unfinished change.

    Yield how many after each small transaction. If interrupted, the next call removes the rest.

    Raises:
        CatalogBusy: another process is indexing into the catalog, or optimizing it.
    """
    with core.writer():
        sets = core.sets
        kept = SpaceSets(sets.active, version=sets.version).without_unused(before=sets)
        if kept == sets and not kept.dropped:
            return
        core.newest.change_sets(kept)
        core.newest.optimize()  # a generation without them, before the records lose them
        for space in kept.dropped:
            yield from core.records.spaces.remove(space)
        core.newest.change_sets(replace(core.sets, dropped=()))
        core.records.give_back_space()

"""The sets of spaces of a catalog: the one in use, the one being built beside it, the one before, and leftovers.

They are one row of the records, so a change of models is one transaction: a reader sees either the old set or the new
one, with the commits and the generation that belong to it. A catalog whose models never changed has no such row; its
one set is the one in `catalog.json`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import orjson

from lookalike.data.errors import CatalogDamaged
from lookalike.retrieval.spaces.catalog_file import CatalogFile
from lookalike.retrieval.spaces.space import Space

__all__ = ["SpaceSets", "stored_names"]


@dataclass(frozen=True, slots=True)
class SpaceSets:
    """The sets; `version` grows with every change.

    `built` is whether generations have the `upcoming` set, because every picture has a vector in it or may go without.
    `dropped` are stored names of spaces that no set has any more.
    """

    active: CatalogFile
    upcoming: CatalogFile | None = None
    built: bool = False
    previous: CatalogFile | None = None
    dropped: tuple[str, ...] = ()
    version: int = 0

    @classmethod
    def of(cls, file: CatalogFile, version: int, text: str | None) -> SpaceSets:
        """Read the row of the records; `file` is `catalog.json`, which describes the catalog as it was created.

        Raises:
            CatalogDamaged: the row is not as it was written.
        """
        if text is None:
            return cls(file, version=version)
        try:
            facts: dict[str, Any] = orjson.loads(text)
            upcoming, previous = (
                CatalogFile.from_facts(facts[name]) if facts.get(name) else None for name in ("upcoming", "previous")
            )
            active = CatalogFile.from_facts(facts["active"])
            return cls(active, upcoming, bool(facts["built"]), previous, tuple(facts["dropped"]), version)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CatalogDamaged(
                f"The description of the catalog's models in the records is damaged ({error}); restore a backup: "
                "lookalike restore BACKUP NEW"
            ) from error

    def to_json(self) -> str:
        """Return the row's text."""
        facts = {
            "active": self.active.to_facts(),
            "upcoming": None if self.upcoming is None else self.upcoming.to_facts(),
            "built": self.built,
            "previous": None if self.previous is None else self.previous.to_facts(),
            "dropped": list(self.dropped),
        }
        return orjson.dumps(facts).decode()

    @property
    def in_generations(self) -> dict[str, Space]:
        """The spaces in a generation, by stored name: those of all sets, so that a change either way is immediate."""
        files = [self.active, self.previous, self.upcoming if self.built else None]
        spaces = [space for file in files if file is not None for space in file.spaces.values()]
        return {space.stored: replace(space, name=space.stored) for space in spaces}

    @property
    def known(self) -> dict[str, Space]:
        """All spaces of the sets, by stored name."""
        files = [file for file in (self.active, self.previous, self.upcoming) if file is not None]
        return {space.stored: replace(space, name=space.stored) for file in files for space in file.spaces.values()}

    @property
    def stored(self) -> frozenset[str]:
        """The stored names that rows may have."""
        files = [self.active, self.previous, self.upcoming]
        return frozenset(self.dropped).union(*(stored_names(file) for file in files if file is not None))

    def fresh(self, space: Space) -> Space:
        """Return a space with a stored name that no other space with remaining rows has had."""
        numbers = [int(name.partition("@")[2] or 1) for name in self.stored if name.partition("@")[0] == space.name]
        return replace(space, stored=f"{space.name}@{max(numbers, default=0) + 1}" if numbers else space.name)

    def without_unused(self, *, before: SpaceSets) -> SpaceSets:
        """Return the same sets, with the spaces dropped that `before` had and no set has any more."""
        used = frozenset().union(
            *(stored_names(file) for file in (self.active, self.previous, self.upcoming) if file is not None)
        )
        return replace(self, dropped=tuple(sorted(before.stored - used)))


def stored_names(file: CatalogFile) -> frozenset[str]:
    """Return the stored names of a set's spaces."""
    return frozenset(space.stored for space in file.spaces.values())

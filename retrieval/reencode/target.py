"""The set of spaces that a change of models leads to, and the parts of it that have to be made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lookalike.data.errors import UsageError
from lookalike.data.pictures.decoding_version import DECODING
from lookalike.retrieval.core import Core
from lookalike.retrieval.spaces.catalog_file import CatalogFile, ModelIdentity
from lookalike.retrieval.spaces.space import Space
from lookalike.retrieval.spaces.space_sets import SpaceSets

__all__ = ["NO_LOOKS", "Target"]

NO_LOOKS = "none"
"""The name that stands for no model for appearance."""


@dataclass(frozen=True, slots=True)
class Target:
    """The set that is being made, beside the one in use.

    `picture_spaces` are its spaces in which pictures get new vectors. `title_space` is the stored name of its title
    space if that is new. `copies` are pairs of stored names, in the old and the new set, of spaces with the same model.
    `kept` are those pairs of spaces of pictures whose vectors are kept except for pictures that are decoded differently
    now.
    `made_new` is whether a model differs. `bare` is the number of vectors without a picture that have to be left
    behind.
    """

    file: CatalogFile
    picture_spaces: Sequence[str]
    title_space: str | None
    copies: Sequence[tuple[str, str]]
    kept: Sequence[tuple[str, str]]
    made_new: bool
    bare: int

    @classmethod
    def of(cls, core: Core, model: str | None, looks: str | None, *, restart: bool) -> Target:
        """Find out what to make, and record it.

        Raises:
            UsageError: there is nothing to do, or another change is unfinished.
        """
        sets = core.sets
        if sets.active.model is None:
            raise UsageError("This catalog holds ready vectors and has no model to change.")
        asked = _asked(core, sets, model, looks)
        begun = sets.upcoming
        if begun is not None and not restart:
            if asked is not None and not _same_models(asked, begun):
                raise UsageError(
                    f"A change to {begun.models} is unfinished. Continue it: lookalike reencode {core.folder.name}; "
                    f"or give it up for {asked.models} with --restart"
                )
            return cls._towards(core, begun)
        file = asked if asked is not None else begun or replace(sets.active, decoding=DECODING)
        if _same_models(file, sets.active) and not sets.active.decoded_before and not _lacks(core, sets.active):
            raise UsageError(
                f"There is nothing to do: the catalog is made with {sets.active.models}, and every picture has its "
                "vectors. Name another --model, or another model for --appearance."
            )
        upcoming = _with_fresh_spaces(file, sets)
        changed = replace(sets, upcoming=upcoming, built=False).without_unused(before=sets)
        with core.records.spaces.changing(sets.version) as write:
            write(changed.to_json())
        return cls._towards(core, upcoming)

    @classmethod
    def _towards(cls, core: Core, file: CatalogFile) -> Target:
        active = core.sets.active
        new = [name for name, space in file.spaces.items() if active.stored.get(name) != space.stored]
        same = [name for name in new if name in active.spaces and active.made(name).facts == file.made(name).facts]
        decoded = [name for name in same if name in file.picture_spaces and file.decoding > active.decoding]
        bare = core.records.spaces.count_bare(active.spaces["image"].stored)

        def pairs(names: Sequence[str]) -> list[tuple[str, str]]:
            return [(active.spaces[name].stored, file.spaces[name].stored) for name in names]

        return cls(
            file,
            [name for name in file.picture_spaces if name in new],
            file.spaces["title"].stored if "title" in new else None,
            pairs([name for name in same if name not in decoded]),
            pairs(decoded),
            not _same_models(file, active),
            bare if "image" in new and "image" not in same else 0,
        )

    @property
    def stored(self) -> list[str]:
        """The stored names of its new spaces of pictures."""
        return [self.file.spaces[name].stored for name in self.picture_spaces]


def _asked(core: Core, sets: SpaceSets, model: str | None, looks: str | None) -> CatalogFile | None:
    """Return the set that was asked for, without new stored names yet; None if no model was named."""
    if model is None and looks is None:
        return None
    file = sets.active
    if model is not None:
        made = core.identity_of(model)
        if made.facts != file.made("image").facts:
            file = _main(core, made, file)
    if looks == NO_LOOKS:
        return file.without_looks()
    if looks is not None:
        made = core.identity_of(looks)
        if made.facts != file.looks_model:
            file = file.with_looks(core.models.by(made).spec, made.weights)
    return file


def _main(core: Core, made: ModelIdentity, file: CatalogFile) -> CatalogFile:
    """Return the description of a catalog with another main model and the same appearance model."""
    main = CatalogFile.for_model(core.models.by(made).spec, made.weights)
    if "looks" not in file.spaces:
        return main
    spaces = {**main.spaces, "looks": file.spaces["looks"]}
    return replace(
        main,
        spaces=spaces,
        looks_model=file.looks_model,
        looks_weights=file.looks_weights,
        decoding=file.decoding,  # the pictures are not decoded again for the space that is kept
    )


def _with_fresh_spaces(file: CatalogFile, sets: SpaceSets) -> CatalogFile:
    """Return the set with fresh stored names for spaces whose model differs, or for all if vectors are missing."""
    active = sets.active
    remake = _same_models(file, active)

    def stored(name: str, space: Space) -> Space:
        kept = name in active.spaces and active.made(name).facts == file.made(name).facts and not remake
        return active.spaces[name] if kept else sets.fresh(space)

    return replace(file, spaces={name: stored(name, space) for name, space in file.spaces.items()})


def _same_models(one: CatalogFile, other: CatalogFile) -> bool:
    return (one.model, one.looks_model) == (other.model, other.looks_model)


def _lacks(core: Core, file: CatalogFile) -> bool:
    """Return whether a picture or a title has no vector in the set."""
    spaces = core.records.spaces
    pictures = any(spaces.count_lacking(file.spaces[name].stored) for name in file.picture_spaces)
    return pictures or (file.reads_texts and spaces.count_lacking_titles(file.spaces["title"].stored) > 0)

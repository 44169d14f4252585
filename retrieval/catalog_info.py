"""A description of a catalog: its models, its counts and its size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lookalike.retrieval.search.newest_state import NewestState
from lookalike.retrieval.search.segmented_state import SegmentedState
from lookalike.retrieval.store.records import Records

__all__ = ["CatalogInfo", "info_of"]


@dataclass(frozen=True, slots=True)
class CatalogInfo:
    """A description of a catalog. `tail` is the number of items committed since the generation was built.

    `learned_from` is the number of vectors that each space's index was trained on; spaces that are searched exactly are
    left out. `stored_as` is the type, float16 or float32, that each space's vectors are searched in. It is float32 if
    any row needs it: under l2, a row that float16 does not hold exactly; under ip, one that it holds badly; under
    cosine, one whose direction it turns too far.

    `model` reads words and titles, and pictures too unless another model compares `appearance`. `upcoming` names the
    models of a set of vectors that is being made, and `previous` the models of the set before.
    """

    items: int
    vectors: int
    model: str | None
    dim: int
    metric: str
    generation: str | None
    tail: int
    bytes_on_disk: int
    spaces: Mapping[str, int]
    fields: Mapping[str, str]
    rejected: int
    learned_from: Mapping[str, int]
    appearance: str | None = None
    upcoming: str | None = None
    previous: str | None = None
    stored_as: Mapping[str, str] = field(default_factory=dict)


def info_of(folder: Path, records: Records, live: NewestState) -> CatalogInfo:
    """Count the contents of a catalog."""
    state, sets = live.state(), live.sets()
    file = state.file
    space = file.spaces["image"]
    counts = records.count_vectors()
    files = (path for path in folder.rglob("*") if path.is_file())
    return CatalogInfo(
        items=state.everything.count,
        vectors=counts.get(space.stored, 0),
        model=None if file.model is None else file.model["name"],
        dim=space.dim,
        metric=space.metric.value,
        generation=live.generation,
        tail=state.tail_count if live.generation else state.everything.count,
        bytes_on_disk=sum(path.stat().st_size for path in files),
        spaces={name: counts.get(one.stored, 0) for name, one in file.spaces.items()},
        fields=state.schema.to_json(),
        rejected=records.ledger.count_rejected(),
        learned_from=_learned_from(state),
        appearance=None if file.looks_model is None else file.looks_model["name"],
        upcoming=None if sets.upcoming is None else sets.upcoming.models,
        previous=None if sets.previous is None else sets.previous.models,
        stored_as={name: state.stored_as(name) for name in file.spaces},
    )


def _learned_from(state: SegmentedState) -> dict[str, int]:
    """Return the number of vectors that the index of each space was trained on."""
    indexes = {name: rows.approximate for name, rows in state.segments[0].spaces.items()}
    trainings = {name: index.calibration.training for name, index in indexes.items() if index is not None}
    return {name: training.rows for name, training in trainings.items() if training is not None}

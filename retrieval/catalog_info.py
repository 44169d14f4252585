"""What a catalog is and how much it holds."""

from __future__ import annotations

from pathlib import Path

from lookalike.retrieval.query import CatalogInfo
from lookalike.retrieval.search.newest_state import Live
from lookalike.retrieval.search.state import View
from lookalike.retrieval.store.records import Records

__all__ = ["info_of"]


def info_of(folder: Path, records: Records, live: Live) -> CatalogInfo:
    """Count what a catalog holds."""
    view, sets = live.view(), live.sets()
    file = view.file
    space = file.spaces["image"]
    counts = records.count_vectors()
    files = (path for path in folder.rglob("*") if path.is_file())
    return CatalogInfo(
        items=view.everything.count,
        vectors=counts.get(space.stored, 0),
        model=None if file.model is None else file.model["name"],
        dim=space.dim,
        metric=space.metric.value,
        generation=live.generation,
        tail=view.tail_count if live.generation else view.everything.count,
        bytes_on_disk=sum(path.stat().st_size for path in files),
        spaces={name: counts.get(one.stored, 0) for name, one in file.spaces.items()},
        fields=view.schema.to_json(),
        rejected=records.ledger.count_rejected(),
        learned_from=_learned_from(view),
        looks=None if file.looks_model is None else file.looks_model["name"],
        upcoming=None if sets.upcoming is None else sets.upcoming.models,
        previous=None if sets.previous is None else sets.previous.models,
        stored_as={name: view.stored_as(name) for name in file.spaces},
    )


def _learned_from(view: View) -> dict[str, int]:
    """Say of how many vectors the index of each space has learned."""
    indexes = {name: rows.approximate for name, rows in view.segments[0].spaces.items()}
    trainings = {name: index.calibration.training for name, index in indexes.items() if index is not None}
    return {name: training.rows for name, training in trainings.items() if training is not None}

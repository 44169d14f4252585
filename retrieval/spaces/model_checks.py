"""Checks whether a catalogue has the models, or the vectors, that a caller asks for."""

from __future__ import annotations

from collections.abc import Callable

from lookalike.data.counted import counted
from lookalike.data.errors import UsageError
from lookalike.models import Encoder, full_name, local_weights
from lookalike.retrieval.spaces.catalog_file import CatalogFile
from lookalike.retrieval.spaces.space import SpaceName

__all__ = ["check_models", "check_vectors"]


def check_models(
    file: CatalogFile, catalog: str, model: str | None, appearance: str | None, load: Callable[[str], Encoder]
) -> None:
    """Refuse models other than those that made a catalogue; `catalog` is its name, for the message.

    `load` loads a model by its name.

    Raises:
        UsageError: another model made it.
        ModelMismatch: the model has other weights or another preprocessing.
    """
    _check_model(file, catalog, model, load)
    _check_appearance(file, catalog, appearance)


def check_vectors(file: CatalogFile, catalog: str, dim: int, metric: str) -> None:
    """Refuse a catalogue whose vectors have another dimension, or are compared by another metric.

    Raises:
        UsageError: the catalogue has another dimension or metric.
    """
    space = file.spaces[SpaceName.IMAGE]
    if (space.dim, space.metric.value) != (dim, metric):
        raise UsageError(
            f"The catalog {catalog} holds vectors of {counted(space.dim, 'number')} compared by {space.metric.value}, "
            f"not of {dim} compared by {metric}."
        )


def _check_appearance(file: CatalogFile, catalog: str, appearance: str | None) -> None:
    if appearance is None:
        return
    made_with = (file.looks_model or {}).get("name")
    if appearance != made_with and full_name(appearance) != made_with:
        has = "has no second model" if made_with is None else f"compares appearance by the model {made_with}"
        raise UsageError(
            f"The catalog {has}, not {appearance}. Change that with: lookalike reencode {catalog} "
            f"--appearance {appearance}"
        )


def _check_model(file: CatalogFile, catalog: str, model: str | None, load: Callable[[str], Encoder]) -> None:
    if model is None:
        return
    made_with = (file.model or {}).get("name")
    if model == made_with or (model == "auto" and made_with is not None):
        return
    try:
        wanted = full_name(model)
    except UsageError:  # unknown, but that it is not the catalogue's matters more
        wanted = None
    if made_with is None or made_with != wanted:
        raise UsageError(
            f"The catalog was made with the model {made_with}, not {model}. "
            f"Index into a new catalog with: lookalike index NEW SOURCE --model {model}, or change the model of this "
            f"one with: lookalike reencode {catalog} --model {model}"
        )
    if local_weights(model) is not None:
        file.check(load(model).spec)

"""From a model's name to an encoder: the one place that imports torch, and only when called."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from lookalike.data.errors import MissingDependency, UsageError, WeightsUnavailable
from lookalike.models.base import Encoder
from lookalike.models.registry.checkpoint import find_checkpoint
from lookalike.models.registry.names import Family, parse_name
from lookalike.models.registry.published import AUTO_MODEL
from lookalike.models.registry.spec import DEFAULT_MODEL, KNOWN_MODELS

__all__ = ["Choice", "choose_model", "full_name", "load_encoder", "local_weights"]


class Choice(NamedTuple):
    """What "auto" stands for on this machine, and why, as a clause that can follow "because"."""

    name: str
    reason: str


def load_encoder(name: str, *, device: str = "auto", weights: Path | None = None, sha256: str | None = None) -> Encoder:
    """Make the encoder of that name; `models/registry/names.py` says what names there are.

    Weights are looked for on this machine only, and read at first use. `device` is "auto" (CUDA where there is one),
    "cpu", "cuda" or "cuda:1". For a model that a catalog names, `weights` is where a local file lay when the catalog
    was made and `sha256` its hash, by which it is looked for if it is there no more.

    Raises:
        UsageError: no model is called that, or this machine has no such device.
        WeightsUnavailable: its weights are not on this machine.
        MissingDependency: it needs a package that is not installed.
    """
    parsed = parse_name(choose_model().name if name == "auto" else name)
    if parsed.family is Family.COMPACT:
        from lookalike.models.compact.encoder import load_compact

        return load_compact(KNOWN_MODELS["compact"], device=device)
    checkpoint = find_checkpoint(parsed, weights=weights, sha256=sha256)
    if checkpoint.reads_texts:
        from lookalike.models.encoders.open_clip_encoder import load_open_clip

        return load_open_clip(checkpoint, device=device)
    from lookalike.models.encoders.backbones import load_backbone

    return load_backbone(checkpoint, device=device)


def choose_model() -> Choice:
    """Say what "auto" stands for: `clip` if it can run here without a download, else `compact`."""
    try:
        find_checkpoint(parse_name(AUTO_MODEL))
    except MissingDependency:
        missing = "open_clip is not installed"
    except WeightsUnavailable:
        missing = "its weights are not on this machine"
    else:
        return Choice(AUTO_MODEL, f"the weights of {AUTO_MODEL} are on this machine")
    return Choice(DEFAULT_MODEL, f"it needs no download; {AUTO_MODEL} finds more by words, but {missing}")


def full_name(name: str) -> str:
    """Give the name that a catalog stores for a model: short names written out, folders of the machine left out.

    Raises:
        UsageError: no model can be called that.
    """
    return str(parse_name(choose_model().name if name == "auto" else name))


def local_weights(name: str) -> Path | None:
    """Give the file of weights that a name points at, absolute; None for a model that is found by its name alone.

    Whether there is a model of that name is not asked here, but by `load_encoder`.

    Raises:
        UsageError: a folder has several such files.
        WeightsUnavailable: there is none.
    """
    try:
        parsed = parse_name(name)
    except UsageError:
        return None
    return None if parsed.path is None else find_checkpoint(parsed).weights

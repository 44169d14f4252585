"""Loading of encoders by name. This is the only module that imports torch, and only when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from lookalike.data.errors import MissingDependency, UsageError, WeightsUnavailable
from lookalike.data.garbage_collection import collector_paused
from lookalike.models.base import Encoder
from lookalike.models.registry.checkpoint import find_checkpoint
from lookalike.models.registry.names import Family, parse_name
from lookalike.models.registry.published import AUTO_MODEL
from lookalike.models.registry.spec import DEFAULT_MODEL, KNOWN_MODELS

__all__ = ["Choice", "choose_model", "full_name", "load_encoder", "local_weights"]


class Choice(NamedTuple):
    """The model that "auto" stands for on this machine, and the reason as a clause that can follow "because"."""

    name: str
    reason: str


def load_encoder(name: str, *, device: str = "auto", weights: Path | None = None, sha256: str | None = None) -> Encoder:
    """Return the encoder of a model; `models/registry/names.py` lists the possible names.

    Weights are only looked for on this machine, and are read at first use. `device` is "auto" (CUDA if available),
    "cpu", "cuda" or "cuda:1". For the model of an existing catalog, `weights` is the path that a local file had when
    the catalog was made, and `sha256` its hash, by which the file is found if it has moved.

    Example:
        >>> encoder = load_encoder("compact", device="cpu")
        >>> encoder.encode_texts(["a red running shoe", "a lamp"]).shape
        (2, 512)

    Raises:
        UsageError: there is no model of that name, or this machine has no such device.
        WeightsUnavailable: the weights are not on this machine.
        MissingDependency: the model needs a package that is not installed.
    """
    parsed = parse_name(choose_model().name if name == "auto" else name)
    if parsed.family is Family.COMPACT:
        with collector_paused():
            from lookalike.models.compact.encoder import load_compact

        return load_compact(KNOWN_MODELS["compact"], device=device)
    checkpoint = find_checkpoint(parsed, weights=weights, sha256=sha256)
    if checkpoint.reads_texts:
        with collector_paused():
            from lookalike.models.encoders.open_clip_encoder import load_open_clip

        return load_open_clip(checkpoint, device=device)
    with collector_paused():
        from lookalike.models.encoders.backbones import load_backbone

    return load_backbone(checkpoint, device=device)


def choose_model() -> Choice:
    """Return the model that "auto" stands for: `clip` if it can run here without a download, otherwise `compact`."""
    try:
        find_checkpoint(parse_name(AUTO_MODEL))
    except MissingDependency:
        obstacle = "open_clip is not installed"
    except WeightsUnavailable:
        obstacle = "its weights are not on this machine"
    else:
        return Choice(AUTO_MODEL, f"the weights of {AUTO_MODEL} are on this machine")
    return Choice(DEFAULT_MODEL, f"it needs no download; {AUTO_MODEL} finds more by words, but {obstacle}")


def full_name(name: str) -> str:
    """Return the name under which a catalog stores a model: short names expanded, folders of this machine left out.

    Raises:
        UsageError: no model can have that name.
    """
    return str(parse_name(choose_model().name if name == "auto" else name))


def local_weights(name: str) -> Path | None:
    """Return the absolute path of the weights that a name points at, or None if the model is found by its name alone.

    Whether a model of that name exists is checked by `load_encoder`, not here.

    Raises:
        UsageError: the name is a folder with several files of weights.
        WeightsUnavailable: there is no file of weights.
    """
    try:
        parsed = parse_name(name)
    except UsageError:
        return None
    return None if parsed.path is None else find_checkpoint(parsed).weights

"""From a model's name to an encoder: the one place that imports torch, and only when called."""

from __future__ import annotations

from data.errors import UsageError
from models.base import Encoder
from models.spec import DEFAULT_MODEL, KNOWN_MODELS

__all__ = ["load_encoder"]


def load_encoder(name: str, *, device: str = "auto") -> Encoder:
    """Make the encoder of that name; "auto" stands for the default one.

    Weights are read at first use, and only those of the tower in use. `device` is "auto" (CUDA where there is one),
    "cpu", "cuda" or "cuda:1".

    Raises:
        UsageError: no model is called that, or this machine has no such device.
    """
    known = KNOWN_MODELS.get(DEFAULT_MODEL if name == "auto" else name)
    if known is None:
        names = ", ".join(sorted({"auto", *KNOWN_MODELS}))
        raise UsageError(f"There is no model named {name!r}; the known ones are: {names}.")
    from models.compact import load_compact

    return load_compact(known, device=device)

"""Names of models: short names, models of four libraries, and local files and folders.

    compact                                  the built-in model
    clip, clip-large, clip-multilingual, resnet50    short names, defined in `published.py`
    open_clip:ARCHITECTURE/TAG               an open_clip architecture with published weights
    open_clip:ARCHITECTURE/FILE              the same with a local checkpoint (.pt, .pth, .bin, .safetensors)
    hf-hub:ORGANISATION/NAME                 a repository of the Hugging Face hub that open_clip can read
    timm:NAME, timm:NAME/FILE                a timm backbone; pictures only
    torchvision:NAME, torchvision:NAME/WEIGHTS, torchvision:NAME/FILE    a torchvision backbone; pictures only
    FOLDER                                   a model saved by open_clip or timm, with its configuration

A name that a catalog stores and shows contains no folder of this machine: only the last part of a path is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from lookalike.data.errors import UsageError
from lookalike.models.registry.published import PUBLISHED

__all__ = ["WEIGHT_SUFFIXES", "Family", "ModelName", "parse_name"]

WEIGHT_SUFFIXES = frozenset({".pt", ".pth", ".bin", ".safetensors"})


class Family(StrEnum):
    """The library that builds a model."""

    COMPACT = "compact"
    OPEN_CLIP = "open_clip"
    HUB = "hf-hub"
    TIMM = "timm"
    TORCHVISION = "torchvision"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class ModelName:
    """A name in parts; its text is what a catalog stores.

    `architecture` is the library's name of the model, or that of a hub repository or folder. `weights` is the tag of
    published weights or the name of a file. `path` is the local file or folder, if there is one.
    """

    family: Family
    architecture: str = ""
    weights: str = ""
    path: Path | None = None

    def __str__(self) -> str:
        if self.family is Family.COMPACT:
            return self.family.value
        return f"{self.family.value}:{self.architecture}" + (f"/{self.weights}" if self.weights else "")

    @property
    def is_local(self) -> bool:
        """Whether the weights are a local file, so that there is nothing to download."""
        return self.family is Family.LOCAL or Path(self.weights).suffix in WEIGHT_SUFFIXES


def parse_name(text: str) -> ModelName:
    """Parse the name of a model. The disk is only read to see whether a plain name is a file or folder.

    Raises:
        UsageError: no model can have that name.
    """
    if text in PUBLISHED:
        return parse_name(PUBLISHED[text].full_name)
    if text == Family.COMPACT:
        return ModelName(Family.COMPACT)
    prefix, colon, rest = text.partition(":")
    if colon and prefix in set(Family) - {Family.COMPACT} and rest.strip("/"):
        return _of_family(Family(prefix), rest)
    path = Path(text).expanduser()
    if text.strip() and (path.exists() or len(path.parts) > 1):
        return ModelName(Family.LOCAL, path.resolve().name, path=path.resolve())
    names = ", ".join(["auto", "compact", *PUBLISHED])
    raise UsageError(
        f"There is no model named {text!r}.",
        remedy=f"The known names are: {names}; open_clip:ARCHITECTURE/TAG, hf-hub:ORGANISATION/NAME, timm:NAME, "
        "torchvision:NAME, or the folder of a model.",
    )


def _of_family(family: Family, rest: str) -> ModelName:
    if family is Family.LOCAL:
        return ModelName(family, rest)
    if family is Family.HUB:
        if rest.count("/") != 1:
            raise UsageError(f"{rest!r} is not a repository of the hub.", remedy="Write hf-hub:ORGANISATION/NAME.")
        return ModelName(family, rest)
    architecture, _, weights = rest.partition("/")
    if Path(weights).suffix in WEIGHT_SUFFIXES:
        path = Path(weights).expanduser().resolve()
        return ModelName(family, architecture, path.name, path)
    return ModelName(family, architecture, weights)

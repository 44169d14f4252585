"""Finds the files of a model on this machine by the model's name. Nothing is downloaded or loaded."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lookalike.data.errors import UsageError, WeightsUnavailable
from lookalike.data.record_files import is_record_file
from lookalike.models.extras import require
from lookalike.models.registry.names import WEIGHT_SUFFIXES, Family, ModelName
from lookalike.models.registry.open_clip_table import architecture_config, repository_of
from lookalike.models.registry.published import PUBLISHED
from lookalike.models.weights.hashes import remembered_hash_of
from lookalike.models.weights.places import (
    MODELS_VARIABLE,
    models_folder,
    repository_file,
    torch_file,
    torch_folder,
    weight_files,
)

__all__ = [
    "OPEN_CLIP_CONFIG",
    "OPEN_CLIP_FILES",
    "TIMM_FILES",
    "Checkpoint",
    "find_checkpoint",
    "read_json",
    "text_sources",
    "torchvision_weights",
]

OPEN_CLIP_CONFIG = "open_clip_config.json"
OPEN_CLIP_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
TIMM_FILES = ("model.safetensors", "pytorch_model.bin")
_TIMM_CONFIG = "config.json"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")

_TORCHVISION_FILES = {("resnet50", "IMAGENET1K_V2"): "resnet50-11ad3fa6.pth"}
"""File names that are known without importing torchvision, which takes seconds."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The files of one model.

    `config` is the JSON file beside the weights that describes the network (None if the architecture's name does),
    `tokenizer` the folder of a tokenizer (None for CLIP's own, which is part of open_clip), and `text_config` the
    folder with the configuration of a text network of the transformers library.
    """

    name: ModelName
    weights: Path
    config: Path | None = None
    tokenizer: Path | None = None
    text_config: Path | None = None

    @property
    def weights_sha256(self) -> str:
        """The SHA-256 hash of the file of weights."""
        return remembered_hash_of(self.weights)

    @property
    def reads_texts(self) -> bool:
        """Whether it is an open_clip model, which reads texts, rather than a picture network."""
        if self.name.family is Family.LOCAL:
            return self.config is not None and self.config.name == OPEN_CLIP_CONFIG
        return self.name.family in (Family.OPEN_CLIP, Family.HUB)

    @property
    def text_sha256(self) -> str:
        """A hash of the files, besides the weights, that determine text vectors; empty for CLIP's own tokenizer."""
        if self.tokenizer is None:
            return ""
        files = [self.tokenizer / name for name in _TOKENIZER_FILES if (self.tokenizer / name).is_file()]
        return hashlib.sha256("\n".join(map(remembered_hash_of, files)).encode()).hexdigest()


def find_checkpoint(name: ModelName, *, weights: Path | None = None, sha256: str | None = None) -> Checkpoint:
    """Return the files of a model.

    For the model of an existing catalog, `weights` is the path that its local file had, and `sha256` its hash. A file
    that has moved is found by its hash in the folder that LOOKALIKE_MODELS names.

    Raises:
        UsageError: there is no such architecture, tag or configuration.
        WeightsUnavailable: a file is not on this machine; the message says how to get it.
        MissingDependency: the package that reads the model is not installed.
    """
    if name.family is not Family.TORCHVISION:
        require("open_clip", extra="clip")  # this extra includes timm
    if name.is_local:
        return _with_texts(_of_file(name, _local_weights(name, weights, sha256)))
    found = {
        Family.OPEN_CLIP: _published_open_clip,
        Family.HUB: _hub_open_clip,
        Family.TIMM: _published_timm,
        Family.TORCHVISION: _published_torchvision,
    }[name.family](name)
    return _with_texts(found)


def text_sources(config: dict[str, Any]) -> tuple[str | None, str | None]:
    """Return the repositories of the tokenizer and of the text network's configuration; None for one not needed."""
    text = config.get("text_cfg", {})
    return text.get("hf_tokenizer_name") or None, text.get("hf_model_name") or None


def torchvision_weights(name: ModelName) -> Any:  # noqa: ANN401  # torchvision's own type, imported late
    """Return torchvision's description of published weights; for a local file, the default weights.

    Raises:
        UsageError: torchvision has no such model, or no such weights for it.
    """
    from torchvision import models as torchvision_models  # type: ignore[import-untyped]

    try:
        known = torchvision_models.get_model_weights(name.architecture)
    except ValueError:
        raise UsageError(f"torchvision has no model {name.architecture!r} with published weights.") from None
    if name.is_local or not name.weights:
        return known.DEFAULT
    if name.weights not in known.__members__:
        names = ", ".join(known.__members__)
        raise UsageError(f"torchvision has no weights {name.weights!r} for {name.architecture}; it has {names}.")
    return known[name.weights]


# --- published weights -----------------------------------------------------------------------------------------------


def _published_open_clip(name: ModelName) -> Checkpoint:
    repository, file = repository_of(name.architecture, name.weights)
    names = OPEN_CLIP_FILES if file is None else (str(Path(file).with_suffix(".safetensors")), file)
    return Checkpoint(name, repository_file(repository, names) or _raise_unavailable(name))


def _hub_open_clip(name: ModelName) -> Checkpoint:
    weights = repository_file(name.architecture, OPEN_CLIP_FILES) or _raise_unavailable(name)
    config = repository_file(name.architecture, (OPEN_CLIP_CONFIG,)) or _raise_unavailable(name)
    return Checkpoint(name, weights, config)


def _published_timm(name: ModelName) -> Checkpoint:
    if name.weights:
        raise UsageError(f"{name} is not the name of a timm model; the tag follows a dot: timm:resnet50.a1_in1k.")
    weights = repository_file(f"timm/{name.architecture}", TIMM_FILES)
    if weights is None:
        from lookalike.models.encoders.backbones import timm_repository  # imports timm, which lists the exceptions

        repository, file = timm_repository(name.architecture)
        weights = repository_file(repository, (file,) if file else TIMM_FILES)
    return Checkpoint(name, weights or _raise_unavailable(name))


def _published_torchvision(name: ModelName) -> Checkpoint:
    file = _TORCHVISION_FILES.get((name.architecture, name.weights)) or Path(torchvision_weights(name).url).name
    return Checkpoint(name, torch_file(file) or _raise_unavailable(name, f"; or put {file} into {torch_folder()}"))


def _raise_unavailable(name: ModelName, otherwise: str = "") -> Path:
    short = next((short for short, model in PUBLISHED.items() if model.full_name == str(name)), str(name))
    raise WeightsUnavailable(
        f"The weights of {name} are not on this machine.",
        remedy=f"Fetch them once with: lookalike models fetch {short}{otherwise}",
    )


# --- local files -----------------------------------------------------------------------------------------------------


def _local_weights(name: ModelName, weights: Path | None, sha256: str | None) -> Path:
    """Return the file of weights: at the user's path, at the catalog's path, or in the models folder by its hash."""
    if sha256 is None:
        path = weights or name.path
        if path is None or not path.exists():
            raise WeightsUnavailable(
                f"There are no weights at {path or name}.", remedy="Name an existing file or folder."
            )
        return _weights_in(path) if path.is_dir() else path
    if weights is not None and weights.is_file() and remembered_hash_of(weights) == sha256:
        return weights
    folder = models_folder()
    for path in weight_files(folder) if folder is not None else ():
        if remembered_hash_of(path) == sha256:
            return path
    was = "are not the ones it was made with" if weights is not None and weights.is_file() else "are not there"
    raise WeightsUnavailable(
        f"The catalog was made with {name}, whose weights were at {weights or 'an unknown place'} and {was}.",
        remedy=f"Set {MODELS_VARIABLE} to a folder that has them, with the configuration beside them: they are found "
        f"by their SHA-256, {sha256}.",
    )


def _weights_in(folder: Path) -> Path:
    for name in (*OPEN_CLIP_FILES, *TIMM_FILES):
        if (folder / name).is_file():
            return folder / name
    others = [path for path in sorted(folder.iterdir()) if path.suffix in WEIGHT_SUFFIXES]
    if len(others) != 1:
        found = ", ".join(path.name for path in others) or "no file of weights"
        raise UsageError(f"The folder {folder} has {found}.", remedy="Name the right file.")
    return others[0]


def _of_file(name: ModelName, weights: Path) -> Checkpoint:
    if name.family is not Family.LOCAL:
        return Checkpoint(name, weights)
    for file in (OPEN_CLIP_CONFIG, _TIMM_CONFIG):
        config = weights.parent / file
        if config.is_file() and (file == OPEN_CLIP_CONFIG or "architecture" in read_json(config)):
            return Checkpoint(name, weights, config)
    raise UsageError(
        f"No {OPEN_CLIP_CONFIG} beside {weights.name} names its architecture.",
        remedy=f"Name it as open_clip:ARCHITECTURE/{weights.name}, timm:NAME/{weights.name} or "
        f"torchvision:NAME/{weights.name}.",
    )


# --- texts -----------------------------------------------------------------------------------------------------------


def _with_texts(found: Checkpoint) -> Checkpoint:
    """Add the tokenizer and the text network's configuration if the model does not use CLIP's own."""
    name = found.name
    if name.family is Family.OPEN_CLIP:
        config = architecture_config(name.architecture)
    elif found.config is not None and found.config.name == OPEN_CLIP_CONFIG:
        config = read_json(found.config).get("model_cfg", {})
    else:
        return found
    tokenizer, text_config = text_sources(config)
    beside = found.weights.parent
    if tokenizer is not None:
        found = replace(found, tokenizer=_folder_of("tokenizer.json", beside, tokenizer, name))
    if text_config is not None:
        found = replace(found, text_config=_folder_of("config.json", beside, text_config, name))
    return found


def _folder_of(file: str, beside: Path, repository: str, name: ModelName) -> Path:
    local = name.is_local and (beside / file).is_file()
    path = beside / file if local else repository_file(repository, (file,))
    if path is None:
        command = f"Fetch it once with: lookalike models fetch {name}" if not name.is_local else f"Put it into {beside}"
        raise WeightsUnavailable(
            f"{file} of {repository}, which {name} needs for texts, is not on this machine.", remedy=command
        )
    return path.parent


def read_json(path: Path) -> dict[str, Any]:
    """Return a model's configuration.

    Raises:
        WeightsUnavailable: the file cannot be read, or is not a JSON object.
    """
    try:
        if is_record_file(path):
            raise ValueError("it is part of a catalog's records")
        facts = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise WeightsUnavailable(f"The configuration {path} cannot be read: {error}.") from error
    if not isinstance(facts, dict):
        raise WeightsUnavailable(f"The configuration {path} is not a JSON object.")
    return facts

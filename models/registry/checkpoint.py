"""From a model's name to the files it is made of, wherever on the machine they lie; nothing is downloaded or loaded."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lookalike.data.errors import UsageError, WeightsUnavailable
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
"""Known without importing torchvision, which takes seconds."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The files of one model.

    `config` is the JSON beside the weights that says how the network is built (None: its architecture's name says it),
    `tokenizer` the folder of a tokenizer (None: CLIP's own, which comes with open_clip), `text_config` the folder with
    the configuration of a text network of the transformers library.
    """

    name: ModelName
    weights: Path
    config: Path | None = None
    tokenizer: Path | None = None
    text_config: Path | None = None

    @property
    def weights_sha256(self) -> str:
        """The SHA-256 of the file of weights."""
        return remembered_hash_of(self.weights)

    @property
    def reads_texts(self) -> bool:
        """Whether it is a model of open_clip, which reads texts, rather than a picture network."""
        if self.name.family is Family.LOCAL:
            return self.config is not None and self.config.name == OPEN_CLIP_CONFIG
        return self.name.family in (Family.OPEN_CLIP, Family.HUB)

    @property
    def text_sha256(self) -> str:
        """One hash for what decides about texts beside the weights; empty where CLIP's own tokenizer reads them."""
        if self.tokenizer is None:
            return ""
        files = [self.tokenizer / name for name in _TOKENIZER_FILES if (self.tokenizer / name).is_file()]
        return hashlib.sha256("\n".join(map(remembered_hash_of, files)).encode()).hexdigest()


def find_checkpoint(name: ModelName, *, weights: Path | None = None, sha256: str | None = None) -> Checkpoint:
    """Find the files of a model.

    `weights` is where a catalog says that a local model lay, `sha256` its hash: if the file is no longer there, it is
    looked for by its hash in the folder that LOOKALIKE_MODELS names.

    Raises:
        UsageError: there is no such architecture, tag or configuration.
        WeightsUnavailable: a file is not on this machine; the message says how it gets there.
        MissingDependency: what reads the model is not installed.
    """
    if name.family is not Family.TORCHVISION:
        require("open_clip", extra="clip")  # which timm comes with
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
    """Say which repositories have the tokenizer and the text network's configuration; None where it needs neither."""
    text = config.get("text_cfg", {})
    return text.get("hf_tokenizer_name") or None, text.get("hf_model_name") or None


def torchvision_weights(name: ModelName) -> Any:  # noqa: ANN401  # torchvision's own type, imported late
    """Give torchvision's description of published weights; of a file of one's own, that of the usual ones.

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
    return Checkpoint(name, repository_file(repository, names) or _not_here(name))


def _hub_open_clip(name: ModelName) -> Checkpoint:
    weights = repository_file(name.architecture, OPEN_CLIP_FILES) or _not_here(name)
    config = repository_file(name.architecture, (OPEN_CLIP_CONFIG,)) or _not_here(name)
    return Checkpoint(name, weights, config)


def _published_timm(name: ModelName) -> Checkpoint:
    if name.weights:
        raise UsageError(f"{name} is no name of a timm model; the tag follows a dot: timm:resnet50.a1_in1k.")
    weights = repository_file(f"timm/{name.architecture}", TIMM_FILES)
    if weights is None:
        from lookalike.models.encoders.backbones import timm_repository  # imports timm, which knows the exceptions

        repository, file = timm_repository(name.architecture)
        weights = repository_file(repository, (file,) if file else TIMM_FILES)
    return Checkpoint(name, weights or _not_here(name))


def _published_torchvision(name: ModelName) -> Checkpoint:
    file = _TORCHVISION_FILES.get((name.architecture, name.weights)) or Path(torchvision_weights(name).url).name
    return Checkpoint(name, torch_file(file) or _not_here(name, f"; or put {file} into {torch_folder()}"))


def _not_here(name: ModelName, otherwise: str = "") -> Path:
    short = next((short for short, one in PUBLISHED.items() if one.full_name == str(name)), str(name))
    raise WeightsUnavailable(
        f"The weights of {name} are not on this machine. "
        f"Fetch them once with: lookalike models fetch {short}{otherwise}"
    )


# --- files of one's own ----------------------------------------------------------------------------------------------


def _local_weights(name: ModelName, weights: Path | None, sha256: str | None) -> Path:
    """Find the file: where the user says it is, where the catalog says it was, or by its hash in the models folder."""
    if sha256 is None:
        path = weights or name.path
        if path is None or not path.exists():
            raise WeightsUnavailable(f"There are no weights at {path or name}; name a file or folder that is there.")
        return _weights_in(path) if path.is_dir() else path
    if weights is not None and weights.is_file() and remembered_hash_of(weights) == sha256:
        return weights
    folder = models_folder()
    for path in weight_files(folder) if folder is not None else ():
        if remembered_hash_of(path) == sha256:
            return path
    was = "are not the ones it was made with" if weights is not None and weights.is_file() else "are not there"
    raise WeightsUnavailable(
        f"The catalog was made with {name}, whose weights were at {weights or 'a place it does not know'} and {was}. "
        f"Set {MODELS_VARIABLE} to a folder that has them (and the configuration beside): they are found by their "
        f"SHA-256, {sha256}."
    )


def _weights_in(folder: Path) -> Path:
    for name in (*OPEN_CLIP_FILES, *TIMM_FILES):
        if (folder / name).is_file():
            return folder / name
    others = [path for path in sorted(folder.iterdir()) if path.suffix in WEIGHT_SUFFIXES]
    if len(others) != 1:
        found = ", ".join(path.name for path in others) or "no file of weights"
        raise UsageError(f"The folder {folder} has {found}; name the file that is meant.")
    return others[0]


def _of_file(name: ModelName, weights: Path) -> Checkpoint:
    if name.family is not Family.LOCAL:
        return Checkpoint(name, weights)
    for file in (OPEN_CLIP_CONFIG, _TIMM_CONFIG):
        config = weights.parent / file
        if config.is_file() and (file == OPEN_CLIP_CONFIG or "architecture" in read_json(config)):
            return Checkpoint(name, weights, config)
    raise UsageError(
        f"There is no {OPEN_CLIP_CONFIG} beside {weights.name} that says which architecture it is; "
        f"name it: open_clip:ARCHITECTURE/{weights.name}, timm:NAME/{weights.name} or torchvision:NAME/{weights.name}."
    )


# --- texts -----------------------------------------------------------------------------------------------------------


def _with_texts(found: Checkpoint) -> Checkpoint:
    """Add the tokenizer and the text network's configuration, if the model has any but CLIP's own."""
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
        raise WeightsUnavailable(f"{file} of {repository}, which {name} reads texts with, is not here. {command}")
    return path.parent


def read_json(path: Path) -> dict[str, Any]:
    """Read a model's configuration.

    Raises:
        WeightsUnavailable: it cannot be read, or is none.
    """
    try:
        facts = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise WeightsUnavailable(f"The configuration {path} cannot be read: {error}.") from error
    if not isinstance(facts, dict):
        raise WeightsUnavailable(f"The configuration {path} is not a JSON object.")
    return facts

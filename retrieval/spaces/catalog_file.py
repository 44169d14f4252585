"""`catalog.json`: the format of a catalog, and for each space the model that made it. Written once, then only read.

The result of later changes of models is in the records (`space_sets.py`), in the same form, because it changes in one
transaction with other records. So are field names and types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from lookalike.data.atomic_write import atomic_write_bytes
from lookalike.data.catalog_layout import CATALOG_FILE
from lookalike.data.errors import CatalogDamaged, CatalogFormat, CatalogNotFound, ModalityUnsupported, ModelMismatch
from lookalike.data.pictures.decoding_version import DECODING
from lookalike.models import Modality, ModelSpec
from lookalike.retrieval.files.storage import failing
from lookalike.retrieval.spaces.space import Space, SpaceName
from lookalike.retrieval.vector_index import Metric

__all__ = ["CatalogFile", "ModelIdentity"]

FORMAT = 2
"""Since format 2 there can be an appearance space with its own model. A catalog without one is written as format 1."""


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """The identity of the model that made vectors: its name, weights and preprocessing.

    `weights` is where the model's own file of weights was on this machine when the catalog was made. It is not part of
    the identity, is never shown, and may be out of date.
    """

    facts: Mapping[str, str]
    weights: Path | None = None

    @classmethod
    def by(cls, spec: ModelSpec, weights: Path | None = None) -> ModelIdentity:
        """Return the identity of the model with this spec."""
        facts = {"name": spec.name, "weights_sha256": spec.weights_sha256, "preprocessing": spec.preprocessing}
        return cls(facts, weights)

    @property
    def name(self) -> str:
        """The model's name, without any folder of this machine."""
        return self.facts["name"]

    def check(self, spec: ModelSpec) -> None:
        """Refuse a model with another identity.

        Raises:
            ModelMismatch: it is another model, or has other weights or another preprocessing.
        """
        found = ModelIdentity.by(spec).facts
        differing = [name for name in found if self.facts.get(name) != found[name]]
        if differing:
            raise _mismatch(", ".join(f"{name} {self.facts.get(name, '')[:16]}" for name in differing), spec, differing)


@dataclass(frozen=True, slots=True)
class CatalogFile:
    """The spaces of a catalog by name, and its model's name, weights and preprocessing (None: no model).

    `model` reads words and titles. If there is a space `looks`, pictures are compared in it, by vectors of
    `looks_model`. `weights` and `looks_weights` are as in `ModelIdentity`. All pictures went through version `decoding`
    of the decoder, or a later one.
    """

    spaces: Mapping[str, Space]
    model: Mapping[str, str] | None
    weights: Path | None = None
    looks_model: Mapping[str, str] | None = None
    looks_weights: Path | None = None
    decoding: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "spaces", {space.name: space for space in self.spaces.values()})

    @property
    def reads_texts(self) -> bool:
        """Whether words can be searched for: the catalog has a model, and the model reads text."""
        return SpaceName.TITLE in self.spaces

    @property
    def decoded_before(self) -> bool:
        """Whether pictures went through an earlier version of the decoder, and may have other vectors now."""
        return self.model is not None and self.decoding < DECODING

    @property
    def models(self) -> str:
        """The names of its models, in words."""
        looks = "" if self.looks_model is None else f", appearance {self.looks_model['name']}"
        return "no model" if self.model is None else self.model["name"] + looks

    @property
    def stored(self) -> dict[str, str]:
        """The stored name of each space in the records."""
        return {name: space.stored for name, space in self.spaces.items()}

    @property
    def picture_spaces(self) -> list[SpaceName]:
        """The spaces that every picture has a vector in."""
        return [name for name in (SpaceName.IMAGE, SpaceName.APPEARANCE) if name in self.spaces]

    def made(self, space: str) -> ModelIdentity:
        """Return the identity of the model that makes the vectors of a space.

        Raises:
            ModalityUnsupported: the catalog holds ready vectors and has no model.
        """
        facts, weights = (
            (self.looks_model, self.looks_weights) if space == SpaceName.APPEARANCE else (self.model, self.weights)
        )
        if facts is None:
            raise ModalityUnsupported(
                "This catalog holds ready vectors and has no model to read words or pictures; "
                "search it by vector or by key."
            )
        return ModelIdentity(facts, weights)

    @classmethod
    def for_model(cls, spec: ModelSpec, weights: Path | None = None) -> CatalogFile:
        """Build the description of a catalog whose vectors a model makes."""
        spaces: dict[str, Space] = {SpaceName.IMAGE: Space(SpaceName.IMAGE, spec.dim, Metric.COSINE)}
        if Modality.TEXT in spec.modalities and spec.title_dim:
            spaces[SpaceName.TITLE] = Space(SpaceName.TITLE, spec.title_dim, Metric.COSINE)
        return cls(spaces, ModelIdentity.by(spec).facts, weights, decoding=DECODING)

    @classmethod
    def for_vectors(cls, dim: int, metric: Metric) -> CatalogFile:
        """Build the description of a catalog of ready vectors."""
        return cls({SpaceName.IMAGE: Space(SpaceName.IMAGE, dim, metric)}, None)

    def with_looks(self, spec: ModelSpec, weights: Path | None = None) -> CatalogFile:
        """Return the same catalog with an appearance space, for the vectors of another model."""
        spaces = {**self.spaces, SpaceName.APPEARANCE: Space(SpaceName.APPEARANCE, spec.dim, Metric.COSINE)}
        return replace(self, spaces=spaces, looks_model=ModelIdentity.by(spec).facts, looks_weights=weights)

    def without_looks(self) -> CatalogFile:
        """Return the same catalog without the appearance space."""
        spaces = {name: space for name, space in self.spaces.items() if name != SpaceName.APPEARANCE}
        return replace(self, spaces=spaces, looks_model=None, looks_weights=None)

    @classmethod
    def read(cls, folder: Path) -> CatalogFile:
        """Read the file of a catalog.

        Raises:
            CatalogNotFound: there is no catalog in the folder.
            CatalogFormat: a newer version wrote it.
            CatalogDamaged: the file is not as it was written.
            StorageFailed: it cannot be read.
        """
        path = folder / CATALOG_FILE
        with failing(folder, "read"):
            there = path.is_file()
            content = path.read_bytes() if there else b""
        if not there:
            raise CatalogNotFound(f"There is no catalog at {folder}; make one with: lookalike index {folder} SOURCE")
        try:
            facts = orjson.loads(content)
            if facts["format"] not in range(1, FORMAT + 1):
                raise CatalogFormat(
                    f"{path.name} has format {facts['format']}; this version of Lookalike reads 1 to {FORMAT}."
                )
            return cls.from_facts(facts)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CatalogDamaged(f"{path.name} is damaged ({error}); restore it from a backup.") from error

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> CatalogFile:
        """Read the facts that `to_facts` returned.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: they are not facts of a catalog.
        """
        spaces = {
            name: Space(name, int(one["dim"]), Metric(one["metric"]), one.get("stored", ""))
            for name, one in facts["spaces"].items()
        }
        weights, looks = facts.get("weights"), facts.get("looks") or {}
        looks_weights = looks.get("weights")
        return cls(
            spaces,
            facts["model"],
            None if weights is None else Path(weights),
            looks.get("model"),
            None if looks_weights is None else Path(looks_weights),
            int(facts.get("decoding", 1)),
        )

    def to_facts(self) -> dict[str, Any]:
        """Return the facts as JSON holds them."""
        facts: dict[str, Any] = {
            "spaces": {
                name: {"dim": space.dim, "metric": space.metric}
                | ({"stored": space.stored} if space.stored != name else {})
                for name, space in self.spaces.items()
            },
            "model": self.model,
        }
        if self.decoding > 1:
            facts["decoding"] = self.decoding
        if self.weights is not None:
            facts["weights"] = str(self.weights)
        if self.looks_model is not None:
            facts["looks"] = {"model": self.looks_model}
            if self.looks_weights is not None:
                facts["looks"]["weights"] = str(self.looks_weights)
        return facts

    def write(self, folder: Path) -> None:
        """Write the file, which is either complete or absent."""
        facts = {"format": 1 if self.looks_model is None else FORMAT, **self.to_facts()}
        text = orjson.dumps(facts, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        atomic_write_bytes(folder / CATALOG_FILE, text, durable=True)

    def check(self, spec: ModelSpec) -> None:
        """Refuse a model that did not make this catalog.

        Raises:
            ModelMismatch: it is another model, or has other weights or another preprocessing.
        """
        if self.model is None:
            raise _mismatch("no model", spec, list(ModelIdentity.by(spec).facts))
        ModelIdentity(self.model).check(spec)


def _mismatch(had: str, spec: ModelSpec, differing: list[str]) -> ModelMismatch:
    found = ModelIdentity.by(spec).facts
    have = ", ".join(f"{name} {found[name][:16]}" for name in differing)
    return ModelMismatch(
        f"The catalog was made with {had}, and this is {have}. Vectors of two models cannot be compared: "
        f"index into a new catalog with: lookalike index NEW SOURCE --model {spec.name}, or change the model of this "
        f"one with: lookalike reencode CATALOG --model {spec.name}"
    )

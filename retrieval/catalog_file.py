"""`catalog.json`: the format of a catalog, and for each space the model that made it. Written once, then only read.

Field names and types are not here but in the records, because they change in the same transaction as the items.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from data.errors import CatalogDamaged, CatalogFormat, CatalogNotFound, ModelMismatch
from models import Modality, ModelSpec
from retrieval.generations.segment import Space
from retrieval.storage import failing
from retrieval.vector_index import Metric

__all__ = ["CatalogFile"]

FORMAT = 1
_NAME = "catalog.json"


@dataclass(frozen=True, slots=True)
class CatalogFile:
    """Its spaces by name, and the model's name, weights and preprocessing (None: none).

    `weights` is where on this machine a model's own file of weights lay when the catalog was made; it is no part of
    what the model is, is never shown, and may be out of date.
    """

    spaces: Mapping[str, Space]
    model: Mapping[str, str] | None
    weights: Path | None = None

    @property
    def reads_texts(self) -> bool:
        """Whether words can be searched for: the model, if there is one, has a text network."""
        return "title" in self.spaces

    @classmethod
    def for_model(cls, spec: ModelSpec, weights: Path | None = None) -> CatalogFile:
        """Describe a catalog whose vectors a model makes."""
        spaces = {"image": Space("image", spec.dim, Metric.COSINE)}
        if Modality.TEXT in spec.modalities and spec.title_dim:
            spaces["title"] = Space("title", spec.title_dim, Metric.COSINE)
        return cls(spaces, _facts(spec), weights)

    @classmethod
    def for_vectors(cls, dim: int, metric: Metric) -> CatalogFile:
        """Describe a catalog of ready vectors."""
        return cls({"image": Space("image", dim, metric)}, None)

    @classmethod
    def read(cls, folder: Path) -> CatalogFile:
        """Read the file of a catalog.

        Raises:
            CatalogNotFound: the folder is no catalog.
            CatalogFormat: a newer version wrote it.
            CatalogDamaged: it is not what was written.
            StorageFailed: it cannot be read.
        """
        path = folder / _NAME
        with failing(folder, "read"):
            there = path.is_file()
            content = path.read_bytes() if there else b""
        if not there:
            raise CatalogNotFound(f"There is no catalog at {folder}; make one with: lookalike index {folder} SOURCE")
        try:
            facts = orjson.loads(content)
            if facts["format"] != FORMAT:
                raise CatalogFormat(
                    f"{path.name} has format {facts['format']}; this version of Lookalike reads {FORMAT}."
                )
            spaces = {
                name: Space(name, int(one["dim"]), Metric(one["metric"])) for name, one in facts["spaces"].items()
            }
            weights = facts.get("weights")
            return cls(spaces, facts["model"], None if weights is None else Path(weights))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CatalogDamaged(f"{path.name} is damaged ({error}); restore it from a backup.") from error

    def write(self, folder: Path) -> None:
        """Write the file; it is whole or absent."""
        spaces = {name: {"dim": space.dim, "metric": space.metric} for name, space in self.spaces.items()}
        facts = {"format": FORMAT, "spaces": spaces, "model": self.model}
        if self.weights is not None:
            facts["weights"] = str(self.weights)
        text = orjson.dumps(facts, option=orjson.OPT_INDENT_2)
        building = folder / f".{_NAME}.building"
        with building.open("wb") as file:
            file.write(text + b"\n")
            file.flush()
            os.fsync(file.fileno())
        building.rename(folder / _NAME)

    def check(self, spec: ModelSpec) -> None:
        """Refuse a model that did not make this catalog.

        Raises:
            ModelMismatch: it is another model, other weights, or another preprocessing.
        """
        found = _facts(spec)
        if self.model != found:
            differing = [name for name in found if self.model is None or self.model.get(name) != found[name]]
            had = ", ".join(f"{name} {str(self.model[name])[:16]}" for name in differing) if self.model else "no model"
            have = ", ".join(f"{name} {found[name][:16]}" for name in differing)
            raise ModelMismatch(
                f"The catalog was made with {had}, and this is {have}. Vectors of two models cannot be compared: "
                f"index into a new catalog with: lookalike index NEW SOURCE --model {spec.name}"
            )


def _facts(spec: ModelSpec) -> dict[str, str]:
    return {"name": spec.name, "weights_sha256": spec.weights_sha256, "preprocessing": spec.preprocessing}

"""Creating a new catalog, whose folder is either complete or absent."""

from __future__ import annotations

from pathlib import Path

from lookalike.data.atomic_write import atomic_write
from lookalike.data.catalog_layout import RECORDS
from lookalike.data.errors import CatalogExists, UsageError
from lookalike.data.shown_value import shown
from lookalike.models import ModelSpec
from lookalike.retrieval.arguments import whole
from lookalike.retrieval.files.file_system import check_file_system
from lookalike.retrieval.files.storage import failing
from lookalike.retrieval.spaces.catalog_file import CatalogFile
from lookalike.retrieval.store.records import Records
from lookalike.retrieval.vector_index import Metric

__all__ = ["described", "make"]


def described(spec: ModelSpec | None, dim: int | None, metric: str, *, weights: Path | None = None) -> CatalogFile:
    """Build the description of a catalog whose vectors a model makes, or with `dim`, of one with ready vectors.

    `weights` is the model's own file of weights, if they are not found by its name.

    Raises:
        UsageError: both or neither of model and dim are given, or they are not valid.
    """
    if (spec is None) == (dim is None):
        raise UsageError(
            "A catalog has either a model or ready vectors.",
            remedy="Pass either a model, or the dimension of the vectors.",
        )
    if spec is not None:
        return CatalogFile.for_model(spec, weights)
    dim = whole(dim, "dimension", 1, 65_536)
    if metric not in list(Metric):
        raise UsageError(f"The metric is {shown(metric)}; it can be {', '.join(Metric)}.")
    return CatalogFile.for_vectors(dim, Metric(metric))


def make(folder: Path, file: CatalogFile) -> None:
    """Create an empty catalog.

    Raises:
        CatalogExists: there is something at that path.
        StorageFailed: the folder cannot be written to, or its locks do not work; nothing is left there.
    """
    with failing(folder, "written to"):
        folder = folder.resolve()
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise CatalogExists(f"There is something at {folder} already.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            with atomic_write(folder, durable=True) as building:
                building.mkdir()
                check_file_system(building)
                Records.create(building / RECORDS).close()
                file.write(building)
        except OSError as error:
            if folder.is_dir() and any(folder.iterdir()):
                raise CatalogExists(f"There is something at {folder} already.") from error
            raise

"""A new, empty catalog: a folder that is there as a whole or not at all."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from data.errors import CatalogExists
from retrieval.catalog_file import CatalogFile
from retrieval.records import Records

__all__ = ["make_catalog"]

_RECORDS = "records.sqlite"


def make_catalog(folder: Path, file: CatalogFile) -> None:
    """Make the folder of a catalog that holds nothing yet.

    Raises:
        CatalogExists: there is something at that place.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CatalogExists(f"There is something at {folder} already.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    building.mkdir()
    try:
        Records.create(building / _RECORDS).close()
        file.write(building)
        building.rename(folder)
    except BaseException as error:
        shutil.rmtree(building, ignore_errors=True)
        if isinstance(error, OSError) and folder.exists():
            raise CatalogExists(f"There is something at {folder} already.") from error
        raise

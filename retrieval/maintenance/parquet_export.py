"""Export of a catalog, or of the items that satisfy a filter, to a Parquet file: in batches, as of one commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray
from polars.io.plugins import register_io_source

from lookalike.data.atomic_write import atomic_write
from lookalike.data.catalog_layout import RECORDS, THUMBNAILS
from lookalike.data.errors import CatalogBusy, StorageFailed, UsageError
from lookalike.data.field_type import FieldType
from lookalike.retrieval.files.storage import failing
from lookalike.retrieval.files.thumbnails import Thumbnails
from lookalike.retrieval.filters.nodes import Parameters
from lookalike.retrieval.maintenance.parquet_format import (
    IMAGES,
    METADATA,
    TITLE_VECTOR,
    VECTOR,
    ParquetForm,
    images_type,
)
from lookalike.retrieval.progress import Progress, silent
from lookalike.retrieval.query import parse_filter
from lookalike.retrieval.schema import Schema
from lookalike.retrieval.search.segmented_state import SegmentedState
from lookalike.retrieval.spaces.catalog_file import CatalogFile
from lookalike.retrieval.spaces.space_sets import SpaceSets
from lookalike.retrieval.store.database_file import RecordsState
from lookalike.retrieval.vector_blobs import of_blobs

__all__ = ["export_parquet"]

_BATCH_BYTES = 8 * 1024 * 1024
_MOST_BATCH_ITEMS = 2_000
_GROUP_BATCHES = 4
_TRIES = 20

_OTHER_FORMATS = frozenset(
    (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".xlsx", ".xls", ".arrow", ".feather", ".zip", ".tar", ".gz")
)
"""Suffixes that promise another format than the one that is written."""

Ids = NDArray[np.int64]


def export_parquet(
    catalog: Path,
    target: Path,
    newest: Callable[[], SegmentedState],
    *,
    filter: str | None = None,
    params: Parameters | None = None,
    vectors: bool = True,
    progress: Progress = silent,
) -> int:
    """Write the items of a catalog that satisfy a filter to a new Parquet file; return how many.

    `newest` returns the newest state, for the filter. Without `vectors`, the file is for reading and cannot be
    imported. The file is either complete or absent.

    Raises:
        UsageError: there is something at the target already, or its name is the name of another format.
        FilterError: the filter cannot be read or does not fit the fields.
        CatalogBusy: others commit so often that filter and items could not be read as of one commit.
        CatalogDamaged: the records cannot be read.
        StorageFailed: the file cannot be written.
    """
    if target.suffix.lower() in _OTHER_FORMATS:
        name = target.with_suffix(".parquet")
        raise UsageError(
            f"An export is a Parquet file, and {target.name} would not be one by its name.",
            remedy=f"Export to {name}. Other formats can be made from that file with Polars or DuckDB, for example.",
        )
    if target.exists():
        raise UsageError(f"There is something at {target} already; give a new name.")
    state, ids = _state_and_ids(catalog, newest, filter, params)
    with state:
        export = _Export(catalog, state, vectors)
        source = register_io_source(lambda *_: export.frames(ids, progress), schema=export.types)
        try:
            with failing(target, "written to"), atomic_write(target, durable=True) as new:
                source.sink_parquet(
                    new, row_group_size=export.batch * _GROUP_BATCHES, metadata={METADATA: export.form.to_json()}
                )
        except pl.exceptions.PolarsError as error:
            export.raise_own_error()
            raise StorageFailed(f"{target} cannot be written to: {error}.") from error
    return len(ids)


def _state_and_ids(
    catalog: Path, newest: Callable[[], SegmentedState], filter: str | None, params: Parameters | None
) -> tuple[RecordsState, Ids]:
    """Open a state of the records, and find the items to write as of the same commit."""
    expression = parse_filter(filter, params)
    for _ in range(_TRIES):
        state = RecordsState.open(catalog / RECORDS)
        try:
            if filter is None:
                ids = (row[0] for row in state.rows("SELECT id FROM items ORDER BY id"))
                return state, np.fromiter(ids, dtype=np.int64)
            found = newest()
            if found.seq == state.value("SELECT coalesce(max(seq), 0) FROM commits"):
                allowed = found.allowed(expression)
                return state, np.sort(found.item_ids(found.first_items(allowed, 0, allowed.count)))
        except BaseException:
            state.close()
            raise
        state.close()
    raise CatalogBusy("Other processes keep writing to the catalog; try again when they are done.")


class _Export:
    """Reads batches of items in the form of the file."""

    def __init__(self, catalog: Path, state: RecordsState, vectors: bool) -> None:
        file = SpaceSets.of(CatalogFile.read(catalog), *state.space_facts()).active
        rows = state.rows("SELECT name, type FROM fields ORDER BY rowid")
        self.form = ParquetForm.of(file, Schema({name: FieldType(type_) for name, type_ in rows}))
        self._state = state
        self._spaces = file.spaces
        self._vectors = vectors
        self._thumbnails = Thumbnails(catalog / THUMBNAILS)
        self._error: Exception | None = None
        dim = file.spaces["image"].dim
        self.batch = max(1, min(_MOST_BATCH_ITEMS, _BATCH_BYTES // (dim * 4)))
        self.types: dict[str, Any] = {"key": pl.String(), "title": pl.String()}
        self.types |= {column: self.form.type_of(name) for name, column in self.form.columns.items()}
        bare = "SELECT EXISTS (SELECT 1 FROM vectors WHERE space = ? AND image_id IS NULL AND died IS NULL)"
        if vectors and state.value(bare, (file.spaces["image"].stored,)):
            self.types[VECTOR] = pl.Array(pl.Float32, dim)
        if vectors and "title" in file.spaces:
            self.types[TITLE_VECTOR] = pl.Array(pl.Float32, file.spaces["title"].dim)
        if state.value("SELECT EXISTS (SELECT 1 FROM images WHERE died IS NULL)"):
            self.types[IMAGES] = images_type(file.spaces, vectors=vectors)

    def frames(self, ids: Ids, progress: Progress) -> Iterator[pl.DataFrame]:
        """Yield the items in batches. Polars asks for them from any of its threads, one at a time."""
        try:
            for start in range(0, len(ids), self.batch):
                yield self._frame(ids[start : start + self.batch])
                progress("Writing items", min(start + self.batch, len(ids)), len(ids))
        except Exception as error:
            self._error = error  # Polars only passes on its text
            raise

    def raise_own_error(self) -> None:
        """Raise the error that reading a batch raised, if any."""
        if self._error is not None:
            raise self._error

    def _frame(self, ids: Ids) -> pl.DataFrame:
        wanted = orjson.dumps(ids, option=orjson.OPT_SERIALIZE_NUMPY).decode()
        sql = "SELECT id, key, title, fields FROM items WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
        items = list(self._state.rows(sql, (wanted,)))
        columns: dict[str, pl.Series] = {
            "key": pl.Series([row[1] for row in items], dtype=pl.String()),
            "title": pl.Series([row[2] for row in items], dtype=pl.String()),
        }
        stored = [orjson.loads(row[3]) for row in items]
        for name, column in self.form.columns.items():
            columns[column] = self._series(name, [fields.get(name) for fields in stored])
        found = np.array([row[0] for row in items], dtype=np.int64)
        if VECTOR in self.types:
            columns[VECTOR] = self._bare(VECTOR, "image", wanted, found)
        if TITLE_VECTOR in self.types:
            columns[TITLE_VECTOR] = self._bare(TITLE_VECTOR, "title", wanted, found)
        if IMAGES in self.types:
            columns[IMAGES] = self._images(wanted, found)
        return pl.DataFrame(columns, schema=self.types)

    def _series(self, field: str, values: list[Any]) -> pl.Series:
        match self.form.schema[field]:
            case FieldType.JSON:
                texts = [None if value is None else orjson.dumps(value).decode() for value in values]
                return pl.Series(texts, dtype=pl.String())
            case FieldType.TIMESTAMP:
                return pl.Series(values, dtype=pl.Int64()).cast(self.form.type_of(field))
            case _:
                return pl.Series(values, dtype=self.form.type_of(field), strict=False)

    def _bare(self, column: str, space: str, wanted: str, ids: Ids) -> pl.Series:
        """Return one vector for each item, null for items without a vector that belongs to no picture."""
        dim = self.types[column].size
        sql = (
            "SELECT item_id, vector FROM vectors WHERE space = ? AND image_id IS NULL AND died IS NULL "
            "AND item_id IN (SELECT value FROM json_each(?))"
        )
        rows = list(self._state.rows(sql, (self._spaces[space].stored, wanted)))
        vectors = np.zeros((len(ids), dim), dtype=np.float32)
        present = np.zeros(len(ids), dtype=bool)
        places = np.searchsorted(ids, [row[0] for row in rows])
        vectors[places] = _matrix([row[1] for row in rows], dim)
        present[places] = True
        frame = pl.DataFrame({"vector": pl.Series(vectors, dtype=self.types[column]), "present": present})
        return frame.select(pl.when("present").then("vector")).to_series()

    def _images(self, wanted: str, ids: Ids) -> pl.Series:
        """Return the list of images of each item, null for items without images."""
        sql = (
            "SELECT m.item_id, m.source, m.sha256, m.width, m.height, v.vector, l.vector FROM images AS m "
            "JOIN vectors AS v ON v.item_id = m.item_id AND v.image_id = m.id AND v.space = ? "
            "AND v.died IS NULL LEFT JOIN vectors AS l ON l.item_id = m.item_id AND l.image_id = m.id "
            "AND l.space = ? AND l.died IS NULL "
            "WHERE m.died IS NULL AND m.item_id IN (SELECT value FROM json_each(?)) "
            "ORDER BY m.item_id, m.position, m.id"
        )
        stored = [self._spaces[name].stored if name in self._spaces else None for name in ("image", "looks")]
        rows = list(self._state.rows(sql, (*stored, wanted)))
        parts: dict[str, Any] = {
            "item": pl.Series([row[0] for row in rows], dtype=pl.Int64()),
            "source": pl.Series([row[1] for row in rows], dtype=pl.String()),
            "sha256": pl.Series([row[2] for row in rows], dtype=pl.Binary()),
            "width": pl.Series([row[3] for row in rows], dtype=pl.Int64()),
            "height": pl.Series([row[4] for row in rows], dtype=pl.Int64()),
        }
        if self._vectors:
            dim = self._spaces["image"].dim
            matrix = _matrix([row[5] for row in rows], dim)
            parts["vector"] = pl.Series(matrix, dtype=pl.Array(pl.Float32, dim))
            parts["thumbnail"] = pl.Series([self._thumbnail(row[2].hex()) for row in rows], dtype=pl.Binary())
            if "looks" in self._spaces:
                size = self._spaces["looks"].dim
                looks = [None if row[6] is None else _matrix([row[6]], size)[0].tolist() for row in rows]
                parts["looks"] = pl.Series(looks, dtype=pl.Array(pl.Float32, size))
        names = [name for name in parts if name != "item"]
        lists = pl.DataFrame(parts).group_by("item", maintain_order=True).agg(pl.struct(names).alias(IMAGES))
        return pl.DataFrame({"item": ids}).join(lists, on="item", how="left", maintain_order="left")[IMAGES]

    def _thumbnail(self, image_id: str) -> bytes | None:
        path = self._thumbnails.path(image_id)
        return None if path is None else path.read_bytes()


def _matrix(blobs: list[bytes], dim: int) -> NDArray[np.float32]:
    return of_blobs(blobs, dim).astype(np.float32)

"""Import of a Parquet file into a catalog: one that `export` wrote, or any with a column of keys and one of vectors.

An unchanged item is not written again, so an import that was stopped continues where it was when it is started again. A
row that cannot be taken does not stop the others; it is listed with its reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import polars.selectors as cs
from numpy.typing import NDArray

from lookalike.data.column_values import kind_of_polars
from lookalike.data.counted import counted
from lookalike.data.errors import FeedError, ModelMismatch, NotAPicture, UsageError
from lookalike.data.feeds.feed import KEY_NAMES, TITLE_NAMES
from lookalike.data.field_type import FieldType
from lookalike.data.item import Rejected, Value, check_key, check_title
from lookalike.data.pictures.image_decoder import check_thumbnail
from lookalike.data.record_files import is_record_file
from lookalike.retrieval.files.thumbnails import Thumbnails
from lookalike.retrieval.input_checks import checked_vectors, fields_json, with_fields_of
from lookalike.retrieval.item_writes import by_current_fields
from lookalike.retrieval.maintenance.imported_fields import ImportedFields
from lookalike.retrieval.maintenance.parquet_format import IMAGES, METADATA, TITLE_VECTOR, VECTOR, ParquetForm
from lookalike.retrieval.maintenance.verification import UNIT_TOLERANCE
from lookalike.retrieval.progress import Progress, silent
from lookalike.retrieval.schema import BUILT_IN, Schema
from lookalike.retrieval.spaces.catalog_file import CatalogFile
from lookalike.retrieval.spaces.space import Space
from lookalike.retrieval.store.changed_items import changed_items
from lookalike.retrieval.store.ledger import Note, Notes, State
from lookalike.retrieval.store.records import Records
from lookalike.retrieval.stored_rows import ImageWrite, ItemWrite
from lookalike.retrieval.vector_blobs import needs_float32, to_blob, unit_needs_float32
from lookalike.retrieval.vector_index import Metric

__all__ = ["ImportReport", "VectorTable", "import_parquet", "open_vector_table"]

VECTOR_NAMES = ("vector", "embedding", "embeddings", "emb", "features")

_BATCH_ROWS = 2_000
_BATCH_BYTES = 16 * 1024 * 1024
_SHA256_BYTES = 32


@dataclass(slots=True)
class ImportReport:
    """Items by outcome, and the rows that were rejected."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    rejects: list[Rejected] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class VectorTable:
    """A Parquet file with vectors: the role of each column, and the form written by `export` (None: another file)."""

    path: Path
    count: int
    key: str
    title: str | None
    vector: str | None
    fields: dict[str, str]
    form: ParquetForm | None
    columns: frozenset[str]

    def catalog_file(self, metric: Metric = Metric.COSINE) -> CatalogFile:
        """Return the description of the catalog that the file would make; `metric` is for files that name none."""
        if self.form is not None:
            return self.form.file
        first = pl.scan_parquet(self.path).select(pl.col(self.vector or "").drop_nulls().first()).collect().item()
        if first is None:
            raise FeedError(f"The column {self.vector} of {self.path.name} has no vector in it.")
        return CatalogFile.for_vectors(len(first), metric)


def open_vector_table(path: Path) -> VectorTable:
    """Open a Parquet file and find the role of each column.

    Raises:
        FeedError: the file cannot be read, or has no column of keys or none of vectors.
    """
    if not path.is_file():  # given a folder, Polars would open the files in it
        raise FeedError(f"There is no Parquet file at {path.name!r}.")
    if is_record_file(path):
        raise FeedError(f"{path.name} belongs to a catalog's records; to take its items, export them first.")
    try:
        schema = pl.read_parquet_schema(path)
        metadata = pl.read_parquet_metadata(path)
        count = int(pl.scan_parquet(path).select(pl.len()).collect().item())
    except (OSError, pl.exceptions.PolarsError) as error:
        raise FeedError(
            f"{path.name} cannot be read as a Parquet file: {error}.",
            remedy="If it is a feed in another format, read it with: lookalike index CATALOG SOURCE",
        ) from error
    if METADATA in metadata:
        form = ParquetForm.from_json(metadata[METADATA])
        if (count and not {VECTOR, IMAGES} & schema.keys()) or (
            IMAGES in schema and "vector" not in _part_names(schema[IMAGES])
        ):
            raise FeedError(f"{path.name} was exported without vectors; index its items from their pictures instead.")
        fields = {name: column for name, column in form.columns.items() if column in schema}
        vector = VECTOR if VECTOR in schema else None
        return VectorTable(path, count, "key", "title", vector, fields, form, frozenset(schema))
    key = _named(schema, KEY_NAMES)
    vectors = [name for name, type_ in schema.items() if _is_vector(type_)]
    vector = _named({name: schema[name] for name in vectors}, VECTOR_NAMES) or (vectors[0] if vectors else None)
    if key is None or vector is None:
        raise FeedError(
            f"{path.name} needs a column of keys (such as {', '.join(KEY_NAMES[:3])}) and one of lists of numbers "
            f"(such as {VECTOR_NAMES[0]}); its columns are {', '.join(schema)}."
        )
    title = _named(schema, TITLE_NAMES)
    fields = {f"{name}_" if name in BUILT_IN else name: name for name in schema if name not in (key, vector, title)}
    return VectorTable(path, count, key, title, vector, fields, None, frozenset(schema))


def import_parquet(
    table: VectorTable, file: CatalogFile, records: Records, thumbnails: Thumbnails, *, progress: Progress = silent
) -> ImportReport:
    """Insert or replace items from the rows of a Parquet file, in transactions of some thousands.

    Raises:
        ModelMismatch: the vectors were made by another model than the catalog's.
        UsageError: the vectors have another dimension than the catalog's.
        CatalogBusy: another process kept writing for too long.
    """
    _check_made_alike(table, file)
    report = ImportReport()
    run = records.begin_run(table.path.name)
    dim = file.spaces["image"].dim
    batch = max(1, min(_BATCH_ROWS, _BATCH_BYTES // (dim * 4)))
    scan = pl.scan_parquet(table.path)
    declared = None if table.form is None else table.form.schema
    fields = ImportedFields(records, table.fields, declared, summary=f"import {table.path.name}")
    seen: set[str] = set()
    for start in range(0, table.count, batch):
        rows = _Rows(table, file, scan.slice(start, batch).collect(), start + 1)

        def write(rows: _Rows = rows, start: int = start) -> tuple[list[str], ImportReport]:
            entries = list(enumerate(rows.writes(fields.taking(rows.schema), thumbnails), start=start + 1))
            keys, accepted, rejects = _told_apart(entries, seen)
            row_of = {one.key: row for row, one in accepted}
            new, changed, unchanged = changed_items(records, file.spaces, [one for _, one in accepted])
            notes = [Note.of(one) for one in rejects]
            notes += [Note(row_of[one.key], one.key, State.INDEXED) for one in (*new, *changed)]
            notes += [Note(row_of[key], key, State.UNCHANGED, item=item) for key, item in unchanged.items()]
            if new or changed:
                fields.put([*new, *changed], Notes(run, notes), file.stored)
            else:
                records.note(Notes(run, notes))
            return keys, ImportReport(len(new), len(changed), len(unchanged), rejects)

        keys, done = by_current_fields(write)
        seen.update(keys)
        report.rejects += done.rejects
        report.added += done.added
        report.updated += done.updated
        report.unchanged += done.unchanged
        progress("Importing items", min(start + batch, table.count), table.count)
    fields.declare()  # fields without any value have not been written
    records.finish_run(run)
    return report


def _told_apart(
    entries: Sequence[tuple[int, ItemWrite | Rejected]], seen: Collection[str]
) -> tuple[list[str], list[tuple[int, ItemWrite]], list[Rejected]]:
    """Return the keys of the rows, the writes of the first row of each key, and the rejects.

    `seen` has the keys of earlier rows. A row whose key occurred before is rejected, even if that earlier row was too.
    """
    keys: dict[str, None] = {}
    accepted: list[tuple[int, ItemWrite]] = []
    rejects: list[Rejected] = []
    for row, entry in entries:
        again = entry.key in seen or entry.key in keys
        if isinstance(entry, Rejected):
            rejects.append(replace(entry, repeated=again))
        elif again:
            rejects.append(Rejected(row, f"The key {entry.key!r} occurred before.", entry.key, repeated=True))
        else:
            accepted.append((row, entry))
        if entry.key is not None:
            keys[entry.key] = None
    return list(keys), accepted, rejects


_FLOAT32_ROUNDING = 1e-6
"""Tolerance on the length of a row that was scaled to length 1 in float32."""

_BEYOND = 1e15
"""Longer vectors are refused under metrics that do not scale them."""


class _Rows:
    """A batch of rows as writes. Decimals become floats, and times and durations become text, as in a feed."""

    def __init__(self, table: VectorTable, file: CatalogFile, chunk: pl.DataFrame, first: int) -> None:
        self._table = table
        self._file = file
        self._chunk = chunk.with_columns(
            cs.decimal().cast(pl.Float64), cs.time().cast(pl.String), cs.duration().dt.to_string("polars")
        )
        self._first = first
        self._values: dict[str, list[Any]] = {}
        for name, column in table.fields.items():
            values = self._chunk[column].to_list()
            if table.form is not None and table.form.schema[name] is FieldType.JSON:
                values = [None if value is None else orjson.loads(value) for value in values]
            self._values[name] = values

    def schema(self, schema: Schema) -> Schema:
        """Return the schema with the fields of these rows."""
        if self._table.form is not None:
            return schema
        kinds = {name: kind_of_polars(self._chunk[column].dtype) for name, column in self._table.fields.items()}
        return with_fields_of(schema, self._values, {name: kind for name, kind in kinds.items() if kind is not None})

    def writes(self, schema: Schema, thumbnails: Thumbnails) -> Iterator[ItemWrite | Rejected]:
        """Yield one write for each row, or the reason why the row is rejected."""
        space = self._file.spaces["image"]
        keys = self._chunk[self._table.key].cast(pl.String).to_list()
        titles = self._chunk[self._table.title].cast(pl.String).to_list() if self._table.title else [None] * len(keys)
        bare = self._vectors(self._table.vector, space)
        title_vectors = self._vectors(TITLE_VECTOR, self._file.spaces.get("title"))
        images = self._images(thumbnails)
        for place, (key, title) in enumerate(zip(keys, titles, strict=True)):
            try:
                check_key(key or "")
                check_title(title)
                fields: dict[str, Value] = {name: values[place] for name, values in self._values.items()}
                vector, pictures = _sound(bare[place]), _sound(images[place])
                if vector is None and not pictures:
                    raise UsageError("The row has no vector.")
                yield ItemWrite(
                    key, title, fields_json(schema, fields), pictures or None, _sound(title_vectors[place]), vector
                )
            except UsageError as error:
                yield Rejected(self._first + place, str(error), key)

    def _vectors(self, column: str | None, space: Space | None) -> list[bytes | UsageError | None]:
        """Return each row's vector as stored bytes, None for a null, or the error that refuses it."""
        if column is None or space is None or column not in self._table.columns:
            return [None] * len(self._chunk)
        return _stored(self._chunk[column], space, exact=self._table.form is not None)

    def _images(self, thumbnails: Thumbnails) -> list[list[ImageWrite] | UsageError | None]:
        """Return each row's images in order, None for a row without images, or the error that refuses one of them."""
        found: list[list[ImageWrite] | UsageError | None] = [None] * len(self._chunk)
        if self._table.form is None or IMAGES not in self._table.columns:
            return found
        flat = self._chunk.select(IMAGES).with_row_index("row").explode(IMAGES).drop_nulls().unnest(IMAGES)
        spaces = self._file.spaces
        vectors = _stored(flat["vector"], spaces["image"], exact=True)
        looks = _stored(flat["looks"], spaces["looks"], exact=True) if "looks" in spaces else [None] * len(flat)
        parts = flat.select("row", "source", "sha256", "width", "height", "thumbnail").iter_rows()
        for vector, look, (row, source, digest, width, height, thumbnail) in zip(vectors, looks, parts, strict=True):
            so_far = found[row]
            if isinstance(so_far, UsageError):
                continue
            if isinstance(vector, UsageError):
                found[row] = vector
            elif isinstance(look, UsageError):
                found[row] = look
            elif (
                vector is None
                or (look is None and "looks" in spaces)
                or digest is None
                or len(digest) != _SHA256_BYTES
                or source is None
            ):
                found[row] = UsageError("An image of the row lacks its source, its sha256 or its vector.")
            else:
                image = ImageWrite(source, digest, width or 0, height or 0, vector, looks=look)
                found[row] = [*(so_far or ()), image]
                _keep_thumbnail(thumbnails, digest.hex(), thumbnail)
        return found


def _sound(part: Any) -> Any:  # noqa: ANN401  # any part that is not an error
    if isinstance(part, UsageError):
        raise part
    return part


def _stored(column: pl.Series, space: Space, *, exact: bool) -> list[bytes | UsageError | None]:
    """Return each vector as stored bytes, None for a null, or the error that refuses it.

    With `exact`, a vector that is not of length 1 keeps all digits of its float32 values.
    """
    found: list[bytes | UsageError | None] = [None] * len(column)
    if column.dtype.is_(pl.Null):
        return found
    lists = column.cast(pl.List(column.dtype.inner)) if isinstance(column.dtype, pl.Array) else column
    lengths = lists.list.len().to_numpy()
    wanted = [place for place, missing in enumerate(column.is_null()) if not missing]
    fitting = [place for place in wanted if lengths[place] == space.dim]
    for place in set(wanted) - set(fitting):
        found[place] = UsageError(
            f"The vector has {counted(int(lengths[place]), 'value')}; this catalog takes {space.dim}."
        )
    values = lists.gather(fitting).explode()
    values = values if values.dtype == pl.Float64 else values.cast(pl.Float32)
    rows = values.fill_null(float("nan")).to_numpy()
    rows = rows.reshape(len(fitting), space.dim)
    halves = _halved(rows)
    wide = exact | needs_float32(np.clip(np.nan_to_num(rows), -_BEYOND, _BEYOND).astype(np.float32), space.metric)
    for place, row, half, kept, whole in zip(
        fitting, rows, halves, _is_stored_form(rows, halves, space), wide, strict=True
    ):
        if kept:
            found[place] = half.tobytes()
            continue
        try:
            checked = checked_vectors(row, space, what="vector")
            keeps = unit_needs_float32(checked)[0] if space.metric is Metric.COSINE else whole
            if keeps and exact and _is_unit_float32(row, space):
                checked = row.astype(np.float32)[None]  # as it was stored, to the last bit
            found[place] = to_blob(checked[0]) if keeps else _halved(checked)[0].tobytes()
        except UsageError as error:
            found[place] = error
    return found


def _halved(rows: NDArray[np.floating]) -> np.ndarray[Any, np.dtype[np.float16]]:
    with np.errstate(over="ignore", invalid="ignore"):
        return rows.astype(np.float16)


def _is_unit_float32(row: NDArray[np.floating], space: Space) -> bool:
    return space.metric is Metric.COSINE and abs(float(np.linalg.norm(row.astype(np.float64))) - 1) < _FLOAT32_ROUNDING


def _is_stored_form(
    rows: NDArray[np.floating], halves: np.ndarray[Any, np.dtype[np.float16]], space: Space
) -> Sequence[bool]:
    same = (halves.astype(np.float32) == rows).all(axis=1) & np.isfinite(rows).all(axis=1)
    if space.metric is Metric.COSINE:
        same &= np.abs(np.linalg.norm(np.nan_to_num(rows), axis=1) - 1) <= UNIT_TOLERANCE
    return [bool(one) for one in same]


def _keep_thumbnail(thumbnails: Thumbnails, image_id: str, content: bytes | None) -> None:
    """Keep a thumbnail that can be shown. Any other is left out, since it can be rebuilt."""
    if content is None or thumbnails.path(image_id) is not None:
        return
    try:
        check_thumbnail(content)
    except NotAPicture:
        return
    thumbnails.put(image_id, content)


def _check_made_alike(table: VectorTable, file: CatalogFile) -> None:
    theirs = None if table.form is None else table.form.file
    if theirs is None:
        if file.model is not None:
            raise ModelMismatch(
                f"{table.path.name} does not say what made its vectors, and the catalog's were made by "
                f"{file.model['name']}; import it into a new catalog."
            )
        return
    if (theirs.model, theirs.looks_model) != (file.model, file.looks_model):
        made = [(one.model or {"name": "no model"}, one.looks_model) for one in (theirs, file)]
        names = [model["name"] + (f" and, for appearance, {looks['name']}" if looks else "") for model, looks in made]
        raise ModelMismatch(
            f"The vectors of {table.path.name} were made by {names[0]}, those of the catalog by {names[1]} or by other "
            "weights of it; vectors of two models cannot be compared. Import into a new catalog."
        )
    ours, others = ({name: (one.dim, one.metric) for name, one in made.spaces.items()} for made in (file, theirs))
    if ours != others:
        raise UsageError(f"The vectors of {table.path.name} have another dimension or metric than the catalog's.")


def _named(columns: Any, names: Sequence[str]) -> str | None:  # noqa: ANN401  # any mapping by column name
    by_lower = {str(name).lower(): str(name) for name in reversed(list(columns))}
    return next((by_lower[name] for name in names if name in by_lower), None)


def _is_vector(type_: pl.DataType) -> bool:
    return isinstance(type_, pl.List | pl.Array) and type_.inner.is_numeric()


def _part_names(type_: pl.DataType) -> list[str]:
    inner = type_.inner if isinstance(type_, pl.List) else None
    return [part.name for part in inner.fields] if isinstance(inner, pl.Struct) else []

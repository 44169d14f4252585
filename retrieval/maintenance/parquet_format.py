"""The layout of a catalog in a Parquet file: one row for each item, and the catalog's models in the file's metadata.

    key, title      text
    <field>         a column of the field's own type, or text if it has no type of its own (JSON)
    vector          list of float32: the vector of an item that has no picture
    title_vector    list of float32, if the catalog has the space
    images          list of source, sha256, width, height, vector and thumbnail (WebP), in order; and `looks`, the
                    vector of the appearance space, if the catalog has one

A column is present if some item has a value in it. Float32 holds every float16 exactly, so vectors come back bit for
bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import orjson
import polars as pl

from lookalike.data.errors import FeedError
from lookalike.data.field_type import FieldType
from lookalike.retrieval.schema import Schema
from lookalike.retrieval.spaces.catalog_file import CatalogFile
from lookalike.retrieval.spaces.space import Space

__all__ = ["IMAGES", "METADATA", "TITLE_VECTOR", "VECTOR", "ParquetForm", "images_type"]

FORMAT = 1
METADATA = "lookalike"
"""The name of the Parquet metadata entry that describes the catalog."""

VECTOR, TITLE_VECTOR, IMAGES = "vector", "title_vector", "images"
_OWN = ("key", "title", VECTOR, TITLE_VECTOR, IMAGES)

_TYPES: Mapping[FieldType, pl.DataType] = {
    FieldType.STRING: pl.String(),
    FieldType.INT: pl.Int64(),
    FieldType.FLOAT: pl.Float64(),
    FieldType.BOOL: pl.Boolean(),
    FieldType.TIMESTAMP: pl.Datetime("us", "UTC"),
    FieldType.STRINGS: pl.List(pl.String()),
    FieldType.JSON: pl.String(),
}


@dataclass(frozen=True, slots=True)
class ParquetForm:
    """The catalog's description (`file`), its fields, and the column of each: its name unless that is taken."""

    file: CatalogFile
    schema: Schema
    columns: Mapping[str, str]

    @classmethod
    def of(cls, file: CatalogFile, schema: Schema) -> ParquetForm:
        """Choose a column for every field."""
        taken = set(_OWN)
        columns = {}
        for name in schema:
            column = name
            while column in taken or (column != name and column in schema):
                column += "_"
            taken.add(column)
            columns[name] = column
        return cls(file, schema, columns)

    def type_of(self, field: str) -> pl.DataType:
        """Return the type of a field's column."""
        return _TYPES[self.schema[field]]

    def to_json(self) -> str:
        """Return the metadata as JSON text."""
        facts = {"format": FORMAT, **portable(self.file).to_facts()}
        return orjson.dumps({**facts, "fields": self.schema.to_json(), "columns": dict(self.columns)}).decode()

    @classmethod
    def from_json(cls, text: str) -> ParquetForm:
        """Read the metadata.

        Raises:
            FeedError: a newer version wrote it, or it cannot be read.
        """
        try:
            facts = orjson.loads(text)
            if facts["format"] != FORMAT:
                raise FeedError(f"The file has format {facts['format']}; this version of Lookalike reads {FORMAT}.")
            file = portable(CatalogFile.from_facts(facts))
            return cls(file, Schema.from_json(facts["fields"]), dict(facts["columns"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FeedError(f"The file's description of its vectors cannot be read: {error}.") from error


def portable(file: CatalogFile) -> CatalogFile:
    """Return the description without parts that concern one folder only: stored names and paths of weights."""
    spaces = {name: Space(name, space.dim, space.metric) for name, space in file.spaces.items()}
    model, looks = (
        None if made is None else {str(name): str(made[name]) for name in made}
        for made in (file.model, file.looks_model)
    )
    return CatalogFile(spaces, model, looks_model=looks, decoding=file.decoding)


def images_type(spaces: Mapping[str, Space], *, vectors: bool) -> pl.List:
    """Return the type of the column of images. Without vectors it has no thumbnails either."""
    fields: dict[str, pl.DataType] = {
        "source": pl.String(),
        "sha256": pl.Binary(),
        "width": pl.Int64(),
        "height": pl.Int64(),
    }
    if vectors:
        fields |= {"vector": pl.Array(pl.Float32, spaces["image"].dim), "thumbnail": pl.Binary()}
        if "looks" in spaces:
            fields["looks"] = pl.Array(pl.Float32, spaces["looks"].dim)
    return pl.List(pl.Struct(fields))

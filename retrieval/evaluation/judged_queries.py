"""Judged queries, read from a file or kept in a catalog with their pictures, on which models can be compared."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from lookalike.data.atomic_write import atomic_write_bytes
from lookalike.data.catalog_layout import QUERIES
from lookalike.data.errors import FeedError
from lookalike.data.feeds.table import Cell, Row
from lookalike.data.feeds.tables import open_table
from lookalike.data.pictures.image_decoder import naming, read_bytes
from lookalike.data.values.column_guess import LIST_SEPARATOR
from lookalike.retrieval.files.storage import failing

__all__ = ["JudgedQuery", "keep_queries", "kept_queries", "read_queries"]

_TEXT, _IMAGE, _FILTER, _RELEVANT = "text", "image", "filter", "relevant"
_NAME = "queries.jsonl"


@dataclass(frozen=True, slots=True)
class JudgedQuery:
    """A query with the keys of the items that should be found for it.

    >>> query = JudgedQuery(relevant=frozenset(["hiking-boot", "tennis-shoes"]), text="shoes")
    >>> catalog.evaluate([query]).recall_at_5
    1.0
    """

    relevant: frozenset[str]
    text: str | None = None
    image: Path | None = None
    filter: str | None = None


def read_queries(path: Path) -> list[JudgedQuery]:
    """Read judged queries: CSV or JSON Lines with the columns text and/or image, optionally filter, and relevant.

    `relevant` are keys, separated by `|` in CSV and as a list in JSON Lines; image paths are relative to the file.

    Raises:
        FeedError: the file cannot be read, a column is missing, or a row is not a query.
    """
    if not path.is_file():
        raise FeedError(f"There is no file of queries at {str(path)!r}.")
    table = open_table(path, types={}, text_columns=frozenset({_TEXT, _IMAGE, _FILTER, _RELEVANT}))
    if _RELEVANT not in table.columns or not {_TEXT, _IMAGE} & set(table.columns):
        raise FeedError(
            f"{path.name} needs the columns text or image, and relevant; it has {', '.join(table.columns)}."
        )
    queries = []
    for row in table.read():
        if not isinstance(row, Row):
            raise FeedError(f"{path.name}, row {row.row}: {row.reason}")
        query = _query_of(row.values, path.parent)
        if not query.relevant or (query.text is None and query.image is None):
            raise FeedError(f"{path.name}, row {row.number}: a query needs a text or an image, and a relevant key.")
        queries.append(query)
    if not queries:
        raise FeedError(f"{path.name} has no query.")
    return queries


def keep_queries(source: Path, catalog: Path) -> int:
    """Keep a file of judged queries in a catalog's folder, replacing those kept before; return how many they are.

    Raises:
        FeedError: the file cannot be read, or is not a file of queries.
        NotAPicture: one of its pictures cannot be read.
        StorageFailed: the catalog's folder cannot be written to.
    """
    queries = read_queries(source)
    folder = catalog / QUERIES
    with failing(catalog, "written to"):
        folder.mkdir(exist_ok=True)
        lines = []
        for query in queries:
            line = {_TEXT: query.text, _FILTER: query.filter, _RELEVANT: sorted(query.relevant)}
            if query.image is not None:
                line[_IMAGE] = _keep_picture(query.image, folder)
            lines.append(orjson.dumps({name: value for name, value in line.items() if value is not None}) + b"\n")
        atomic_write_bytes(folder / _NAME, b"".join(lines), durable=True)
    return len(queries)


def kept_queries(catalog: Path) -> Sequence[JudgedQuery]:
    """Return the judged queries that a catalog keeps, if any."""
    path = catalog / QUERIES / _NAME
    return read_queries(path) if path.is_file() else ()


def _keep_picture(path: Path, folder: Path) -> str:
    """Copy a picture to a file named by the hash of its content; return that name."""
    with naming(path):
        content = read_bytes(path)
    name = f"{hashlib.sha256(content).hexdigest()[:32]}{path.suffix.lower()}"
    if not (folder / name).exists():
        atomic_write_bytes(folder / name, content, durable=True)
    return name


def _query_of(values: Mapping[str, Cell], folder: Path) -> JudgedQuery:
    relevant = values.get(_RELEVANT)
    keys = relevant if isinstance(relevant, list) else str(relevant or "").split(LIST_SEPARATOR)
    text, image, condition = (str(values.get(name) or "").strip() or None for name in (_TEXT, _IMAGE, _FILTER))
    return JudgedQuery(
        frozenset(str(key).strip() for key in keys if str(key).strip()),
        text,
        folder / image if image else None,
        condition,
    )

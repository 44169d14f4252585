"""Rows of JSON: one object on each line, an array of objects, or an object with such an array in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from lookalike.data.errors import FeedError
from lookalike.data.feeds.table import Row, Table
from lookalike.data.feeds.text_file import open_bytes
from lookalike.data.item import Rejected

__all__ = ["open_json"]

_BOM = b"\xef\xbb\xbf"
_MAX_DOCUMENT_BYTES = 1 << 29
_DEEPEST_LIST = 4


def open_json(path: Path) -> Table:
    """Open a file of JSON or JSON Lines.

    Raises:
        FeedError: it is neither, it has no objects, or a single document is larger than 512 MB.
    """
    if _is_document(path):
        rows = _document(path)
        return _table(path, lambda: (_row(number, value) for number, value in enumerate(rows, start=1)))
    return _table(path, lambda: _lines(path))


def _table(path: Path, read: Any) -> Table:  # noqa: ANN401  # a function that returns an iterator of rows
    names: dict[str, None] = {}
    count = 0
    for row in read():
        count += 1
        if isinstance(row, Row):
            names.update(dict.fromkeys(row.values))
    if not names:
        raise FeedError(f"{path.name} has no rows; it should hold JSON objects, one a line or in a list.")
    return Table(tuple(names), count, {}, read)


def _is_document(path: Path) -> bool:
    """Return whether the file is one document: its first line alone is not JSON, or an array."""
    with open_bytes(path) as file:
        for line in file:
            text = line.removeprefix(_BOM).strip()
            if not text:
                continue
            try:
                first = orjson.loads(text)
            except orjson.JSONDecodeError:
                return text[:1] in (b"[", b"{") and path.suffix.lower() not in (".jsonl", ".ndjson")
            if not any(more.strip() for more in file):
                return isinstance(first, list) or bool(_lists(first))
            return False
    return False


def _document(path: Path) -> Sequence[object]:
    with open_bytes(path) as file:
        content = file.read(_MAX_DOCUMENT_BYTES + 1)
    if len(content) > _MAX_DOCUMENT_BYTES:
        raise FeedError(
            f"{path.name} is one JSON document of more than {_MAX_DOCUMENT_BYTES >> 20} MB.",
            remedy="Write it as JSON Lines, one object on each line.",
        )
    try:
        document = orjson.loads(content.removeprefix(_BOM))
    except orjson.JSONDecodeError as error:
        raise FeedError(f"{path.name} is not JSON: {error}.") from error
    lists = [document] if isinstance(document, list) else _lists(document)
    if not lists:
        raise FeedError(f"{path.name} has no list of objects.")
    return max(lists, key=len)


def _lists(value: object, depth: int = 0) -> list[list[object]]:
    """Return the lists of objects in an object, however they are named; those within the objects do not count."""
    if depth > _DEEPEST_LIST or not isinstance(value, dict):
        return []
    lists = [one for one in value.values() if isinstance(one, list) and one]
    found = [one for one in lists if all(isinstance(part, dict) for part in one)]
    return found or [inner for one in value.values() for inner in _lists(one, depth + 1)]


def _lines(path: Path) -> Iterator[Row | Rejected]:
    number = 0
    with open_bytes(path) as file:
        for line in file:
            text = line.replace(_BOM, b"") if line.startswith(_BOM) else line
            if not text.strip():
                continue
            number += 1
            try:
                value = orjson.loads(text)
            except orjson.JSONDecodeError as error:
                yield Rejected(number, f"The line is not JSON: {error}.")
                continue
            yield _row(number, value)


def _row(number: int, value: object) -> Row | Rejected:
    return Row(number, value) if isinstance(value, dict) else Rejected(number, "The row is not a JSON object.")

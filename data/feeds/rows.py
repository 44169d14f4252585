"""Rows that a caller holds in memory as a feed: mappings or dataclasses, with pictures as paths, bytes or arrays."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from os import PathLike, fsdecode
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image

from lookalike.data.column_values import plain_value
from lookalike.data.errors import FeedError
from lookalike.data.feeds.feed import Feed
from lookalike.data.feeds.named_pictures import feed_folder_resolver
from lookalike.data.feeds.table import Cell, Row, Table
from lookalike.data.feeds.table_feed import columns_of, items_of
from lookalike.data.field_type import MAX_JSON_DEPTH
from lookalike.data.pictures.picture_sources import Stored, check_size

__all__ = ["feed_of_rows"]


def feed_of_rows(
    rows: Iterable[object],
    *,
    name: str = "rows",
    key: str | None = None,
    image: str | None = None,
    title: str | None = None,
) -> Feed:
    """Return rows as a feed; its columns are found as those of a feed file, unless they are named here.

    A row is a mapping or a dataclass. Its pictures are paths (relative to the current directory), addresses, bytes of
    picture files, pictures that Pillow has opened, or uint8 arrays [height, width] or [height, width, 3 or 4].

    Raises:
        FeedError: a row is neither a mapping nor a dataclass, or no column for the key or the pictures is found.
    """
    listed = [_values_of(row, number) for number, row in enumerate(_iterated(rows), start=1)]
    columns = tuple(dict.fromkeys(column for row in listed for column in row))
    pictures = tuple(column for column in columns if any(_holds_picture(row.get(column)) for row in listed))

    def read() -> Iterator[Row]:
        for number, row in enumerate(listed, start=1):
            yield Row(number, row)

    table = Table(columns, len(listed), {}, read, pictures)
    found = columns_of(table, f"The feed of {name}", key=key, image=image, title=title)
    return Feed(name, len(listed), found.words, lambda: items_of(table, found, feed_folder_resolver(Path.cwd())))


@dataclass(frozen=True, slots=True, eq=False)
class _Pixels:
    """A decoded picture, which becomes the bytes of a PNG file when it is read."""

    image: Image.Image

    def read(self, *, max_bytes: int) -> bytes:
        buffer = io.BytesIO()
        self.image.save(buffer, "PNG", compress_level=1)
        content = buffer.getvalue()
        check_size(len(content), max_bytes)
        return content


def _iterated(rows: Iterable[object]) -> Iterable[object]:
    if isinstance(rows, Mapping | str | bytes) or not isinstance(rows, Iterable):
        raise FeedError("Rows are given as a list of mappings or dataclasses, one for each item.")
    return rows


def _values_of(row: object, number: int) -> dict[str, Cell]:
    if is_dataclass(row) and not isinstance(row, type):
        given: Mapping[Any, Any] = {one.name: getattr(row, one.name) for one in fields(row)}
    elif isinstance(row, Mapping):
        given = row
    else:
        raise FeedError(f"Row {number} is {type(row).__name__}; a row is a mapping or a dataclass.")
    odd = [name for name in given if not isinstance(name, str)]
    if odd:
        raise FeedError(f"Row {number} has a field named {odd[0]!r}; the name of a field is a text.")
    return {name: _cell(value, number, 0) for name, value in given.items()}


def _cell(value: Any, number: int, depth: int) -> Cell:  # noqa: ANN401  # whatever a caller holds
    if isinstance(value, list | tuple) and depth <= MAX_JSON_DEPTH:  # the row of a deeper one is rejected later
        return [_cell(one, number, depth + 1) for one in value]  # type: ignore[return-value]  # texts, bytes or pictures
    if isinstance(value, PathLike):
        return fsdecode(value)
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, Image.Image):
        return _Pixels(value)
    if isinstance(value, np.ndarray) and value.ndim in (2, 3) and value.dtype == np.uint8:
        try:
            return _Pixels(Image.fromarray(value))
        except (TypeError, ValueError) as error:
            raise FeedError(f"The picture in row {number} has the shape {value.shape}: {error}.") from None
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    return cast(Cell, plain_value(value))


def _holds_picture(cell: object, depth: int = 0) -> bool:
    if isinstance(cell, list):
        return depth <= MAX_JSON_DEPTH and any(_holds_picture(one, depth + 1) for one in cell)
    return isinstance(cell, bytes | Stored)

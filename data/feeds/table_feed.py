"""Items of tables: the role of each column, and the pictures that a cell names or holds."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath
from typing import cast

from lookalike.data.errors import FeedError, UsageError
from lookalike.data.feeds.column_names import (
    IMAGE_NAMES,
    KEY_NAMES,
    MORE_IMAGE_NAMES,
    TITLE_NAMES,
    is_image_of_several,
    normal_name,
)
from lookalike.data.feeds.picture_lists import mended_address, parts_of_cell
from lookalike.data.feeds.table import Cell, Table
from lookalike.data.item import Item, ItemImage, Rejected, check_key
from lookalike.data.pictures.held_pictures import hold
from lookalike.data.pictures.picture_sources import Address, Stored, Unreadable, is_address
from lookalike.data.values.html_text import text_of_html

__all__ = [
    "ROW_KEY",
    "Columns",
    "Resolve",
    "UsualNames",
    "columns_of",
    "feed_folder_resolver",
    "items_of",
    "text_columns",
]

Resolve = Callable[[str], ItemImage]
"""Returns the picture that a name in a feed stands for, and where its bytes are."""

ROW_KEY = "__key__"
"""The column of the keys that a source assigns to its rows itself."""

_ADDRESS_NAMES = ("src", "url", "href", "link", "image_url", "image", "source", "original")
_DATA_ADDRESS = re.compile(r"data:[^,;]*(;[^,;]*)*;base64,", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class UsualNames:
    """The names by which columns are found, as `normal_name` returns them, most likely first."""

    key: tuple[str, ...] = KEY_NAMES
    image: tuple[str, ...] = IMAGE_NAMES
    title: tuple[str, ...] = TITLE_NAMES


@dataclass(frozen=True, slots=True)
class Columns:
    """The role of each column of a table; `words` describes the role of every column for people."""

    key: str
    title: str | None
    images: tuple[str, ...]
    words: Mapping[str, str]


def text_columns(*named: str | None) -> frozenset[str]:
    """Return the names, as `normal_name` returns them, of columns that hold text whatever it looks like."""
    usual = (*KEY_NAMES, *IMAGE_NAMES, *TITLE_NAMES, *MORE_IMAGE_NAMES)
    return frozenset((*usual, *(normal_name(name) for name in named if name)))


def columns_of(
    table: Table, name: str, *, key: str | None, image: str | None, title: str | None, usual: UsualNames | None = None
) -> Columns:
    """Return the role of each column of a table; `name` is the name of the source, for messages.

    `key`, `image` and `title` name columns; the others are found by the names in `usual`.

    Raises:
        FeedError: a named column does not exist, or there is no column for the key or the pictures.
    """
    usual = usual or UsualNames()
    key_column = _find(table.columns, key, usual.key, name)
    if not key_column:
        raise _not_found("the key", "--key", usual.key, table, name)
    title_column = _find(table.columns, title, usual.title, name)
    images = _find_images(table, image, usual.image, name)
    words = {key_column: "key", **dict.fromkeys(images, "pictures")}
    if title_column:
        words[title_column] = "title"
    for column in table.columns:
        left_out = "left out: holds bytes" if column in table.pictures else "field"
        if column != ROW_KEY:
            words.setdefault(column, table.words.get(column) or str(table.types.get(column, left_out)))
    return Columns(key_column, title_column or None, images, words)


def items_of(table: Table, columns: Columns, resolve: Resolve) -> Iterator[Item | Rejected]:
    """Yield the rows of a table as items; a row that cannot become an item is rejected with the reason."""
    reserved = {columns.key, columns.title, *columns.images, ROW_KEY, *table.pictures}
    for row in table.read():
        if isinstance(row, Rejected):
            yield replace(row, key=row.key or _valid_key((row.cells or {}).get(columns.key)), cells=None)
            continue
        key = _as_text(row.values.get(columns.key))
        if key is None:
            yield Rejected(row.number, f"The row has no {columns.key}.")
            continue
        try:
            images = [image for name in columns.images for image in _pictures(row.values.get(name), name, resolve)]
            yield Item(
                key=key,
                title=_title(row.values.get(columns.title)) if columns.title else None,
                fields={
                    _field_name(name): value  # type: ignore[misc]  # columns of bytes are reserved
                    for name, value in row.values.items()
                    if name not in reserved
                },
                images=tuple(dict.fromkeys(images)),
                row=row.number,
                warnings=row.warnings,
            )
        except UsageError as error:
            yield Rejected(row.number, str(error), _valid_key(key))


def feed_folder_resolver(folder: Path) -> Resolve:
    """Return a function that finds pictures relative to a folder; an absolute path is shown by its file name alone."""

    def resolve(source: str) -> ItemImage:
        path = Path(source)
        if is_address(source):
            return ItemImage(source, Address(source))
        for named in (path, PureWindowsPath(source)):  # the feed may come from another machine
            if named.is_absolute():
                return ItemImage(named.name, path)
        return ItemImage(source, folder / path)

    return resolve


def _find_images(table: Table, image: str | None, usual: tuple[str, ...], name: str) -> tuple[str, ...]:
    """Return the columns of pictures: by name, preferring columns that hold bytes, or else all columns of bytes."""
    first = _find(table.columns, image, (), name) if image else _find(table.pictures, None, IMAGE_NAMES, name)
    first = first or _find(table.columns, None, usual, name)
    rest = [column for column in table.columns if column != first and is_image_of_several(column) and not image]
    found = (*([first] if first else []), *rest) or table.pictures
    if not found:
        raise _not_found("pictures", "--image", IMAGE_NAMES, table, name)
    return found


def _find(columns: tuple[str, ...], wanted: str | None, usual: tuple[str, ...], name: str) -> str:
    by_name = {normal_name(column): column for column in reversed(columns) if column != ROW_KEY}
    if wanted is not None:
        if wanted in columns:
            return wanted
        if normal_name(wanted) in by_name:
            return by_name[normal_name(wanted)]
        raise FeedError(f"{name} has no column {wanted!r}; its columns are {_listed(columns)}.")
    if ROW_KEY in columns:
        by_name[ROW_KEY] = ROW_KEY
    return next((by_name[candidate] for candidate in usual if candidate in by_name), "")


def _not_found(role: str, option: str, usual: tuple[str, ...], table: Table, name: str) -> FeedError:
    return FeedError(
        f"{name} has no column for {role} (looked for {', '.join(usual[:6])}...).",
        remedy=f"Name it with {option}; the columns are {_listed(table.columns)}.",
    )


def _listed(columns: tuple[str, ...]) -> str:
    return ", ".join(column for column in columns if column != ROW_KEY)


def _field_name(column: str) -> str:
    """Return the field name of a column; a column named `key` or `title` with another role gets an underscore."""
    return f"{column}_" if column in ("key", "title") else column


def _as_text(value: Cell) -> str | None:
    if value is None:
        return None
    return str(value).strip() or None


def _valid_key(text: str | None) -> str | None:
    """Return the key of a rejected row, or None if it is not a valid key."""
    key = (text or "").strip()
    with contextlib.suppress(UsageError):
        check_key(key)
        return key
    return None


def _title(value: Cell) -> str | None:
    """Return a title; of several, such as the captions of a picture, the first one."""
    text = _as_text(value[0] if isinstance(value, list) and value else value if value != [] else None)
    return text and (text_of_html(text) or None)


def _pictures(value: Cell, column: str, resolve: Resolve) -> list[ItemImage]:
    """Return the pictures of a cell: a picture, a list of them, or the names in a text (`parts_of_cell`)."""
    if isinstance(value, str) and not _DATA_ADDRESS.match(value):
        value = cast(Cell, parts_of_cell(value))
    parts = value if isinstance(value, list) else [value]
    names = [column if len(parts) == 1 else f"{column} {number}" for number in range(1, len(parts) + 1)]
    found = [_picture(part, name, resolve) for part, name in zip(parts, names, strict=True)]
    return [image for image in found if image is not None]


def _picture(value: Cell, name: str, resolve: Resolve) -> ItemImage | None:
    """Return the picture that one part of a cell holds or names, or None if it is empty.

    The part is bytes, text, an object with the address (`{"src": "https://..."}`), or one with `bytes` (base64 text in
    JSON) and `path`, as the `datasets` library stores it.
    """
    if isinstance(value, str):  # before the others, because asking for a protocol takes long
        if match := _DATA_ADDRESS.match(value):
            return ItemImage(name, _decoded(value[match.end() :]))
        return resolve(mended_address(value.strip())) if value.strip() else None
    if isinstance(value, dict) and (address := next((value[name] for name in _ADDRESS_NAMES if value.get(name)), None)):
        return resolve(mended_address(str(address)))
    if isinstance(value, dict) and {"bytes", "path"} & value.keys():
        content: Cell = value.get("bytes")
        path = _as_text(value.get("path"))
        if content is None:
            return resolve(path) if path else None
        return ItemImage(_shown_name(path) or name, hold(content) if isinstance(content, bytes) else _decoded(content))
    if isinstance(value, bytes):
        return ItemImage(name, hold(value))
    if isinstance(value, Stored):
        return ItemImage(name, value)
    return None if value is None else resolve(mended_address(str(value)))


def _shown_name(path: str | None) -> str | None:
    """Return the name to show for a picture; an absolute path is reduced to its file name."""
    if path is None:
        return None
    return PureWindowsPath(path).name if PureWindowsPath(path).anchor else path


def _decoded(text: Cell) -> Stored:
    """Return the picture that base64 text encodes."""
    try:
        return hold(base64.b64decode(str(text), validate=True))
    except ValueError as error:
        return Unreadable(f"The picture is not valid base64: {error}.")

"""A catalogue as it comes in: a CSV, TSV, JSON Lines or Parquet feed, or a folder of pictures, as a stream of items."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath

import orjson

from data.errors import FeedError, UsageError
from data.field_type import FieldType
from data.item import Item, ItemImage, Rejected, Value
from data.places import Address, is_address
from data.tables import LIST_SEPARATOR, Table, open_table

__all__ = ["Feed", "open_feed"]

KEY_NAMES = ("key", "id", "sku", "product_id", "item_id", "asin", "article", "code", "handle")
IMAGE_NAMES = (
    *("image", "images", "image_path", "image_paths", "image_url", "image_urls", "image_link", "photo", "photos"),
    *("picture", "pictures", "img", "file", "filename", "path"),
)
TITLE_NAMES = ("title", "name", "product_name", "product_title")

_NUMBERED_IMAGE = re.compile(r"(image|photo|picture|img)[ _-]?\d+", re.IGNORECASE)
_MORE_IMAGES = ("additional_image_link", "additional_images", "more_images")
_CATALOG_FILES = ("catalog.json", "records.sqlite")


@dataclass(frozen=True, slots=True)
class Feed:
    """A source of items that can be read any number of times.

    `count` is the number of rows or files; `columns` says in words what each column was taken for.
    """

    name: str
    count: int
    columns: Mapping[str, str]
    _table: Table | None = None
    _folder: Path | None = None
    _key: str = ""
    _title: str | None = None
    _images: tuple[str, ...] = ()
    _files: tuple[bytes, ...] = field(default=(), repr=False)

    def __iter__(self) -> Iterator[Item | Rejected]:
        """Yield one `Item` or `Rejected` a row, in order; a key's second row is rejected."""
        seen: dict[str, int] = {}
        for entry in self._folder_items() if self._table is None else self._table_items(self._table):
            if isinstance(entry, Item):
                first = seen.setdefault(entry.key, entry.row)
                if first != entry.row:
                    reason = f"The key {entry.key!r} is that of row {first} too; only the first is taken."
                    yield Rejected(entry.row, reason, entry.key)
                    continue
            yield entry

    def _table_items(self, table: Table) -> Iterator[Item | Rejected]:
        assert self._folder is not None
        taken = {self._key, self._title, *self._images}
        for row in table.read():
            if isinstance(row, Rejected):
                yield row
                continue
            key = _as_text(row.values.get(self._key))
            if key is None:
                yield Rejected(row.number, f"The row has no {self._key}.")
                continue
            try:
                sources = [source for name in self._images for source in _sources(row.values.get(name))]
                yield Item(
                    key=key,
                    title=_as_text(row.values.get(self._title)) if self._title else None,
                    fields={_field_name(name): value for name, value in row.values.items() if name not in taken},
                    images=tuple(_item_image(source, self._folder) for source in dict.fromkeys(sources)),
                    row=row.number,
                )
            except UsageError as error:
                yield Rejected(row.number, str(error))

    def _folder_items(self) -> Iterator[Item | Rejected]:
        assert self._folder is not None
        for number, relative in enumerate(self._files, start=1):
            key = relative.decode("utf-8", "backslashreplace")
            path = self._folder / os.fsdecode(relative)
            parts = key.split("/")
            try:
                yield Item(
                    key=key,
                    title=_words(Path(parts[-1]).stem),
                    fields={"category": parts[0] if len(parts) > 1 else None},
                    images=(ItemImage(key, path),),
                    row=number,
                )
            except UsageError as error:
                yield Rejected(number, str(error), source=ascii(key))


def open_feed(
    source: Path,
    *,
    key: str | None = None,
    image: str | None = None,
    title: str | None = None,
    types: Mapping[str, FieldType] | None = None,
) -> Feed:
    """Open a feed file or a folder of pictures.

    Columns are found by their usual names (`KEY_NAMES`, `IMAGE_NAMES`, `TITLE_NAMES`, in any case) unless named here;
    every other column becomes a field. Picture paths are relative to the feed file. `types` are the types that the
    catalog's fields have already. In a folder the key is the path relative to it, `category` its first folder and the
    title the file name in words; hidden files and catalogs are left out.

    Raises:
        FeedError: there is no such source, it cannot be read, or no column for the key or the pictures is found.
    """
    if source.is_dir():
        if key or image or title:
            raise FeedError("A folder of pictures has no columns; --key, --image and --title are for feed files.")
        if _is_catalog(os.fsencode(source.parent), os.fsencode(source.name)):
            raise FeedError(f"{source.name} is a catalog, not a folder of pictures; it is searched, not indexed.")
        files = tuple(_walk(source))
        if not files:
            raise FeedError(f"The folder {source.name!r} has no files.")
        return Feed(_readable(source), len(files), {}, _folder=source, _files=files)
    text_columns = frozenset(name.lower() for name in (*KEY_NAMES, *IMAGE_NAMES, *TITLE_NAMES, *_MORE_IMAGES))
    named = frozenset(name.lower() for name in (key, image, title) if name)
    table = open_table(source, types=types or {}, plain=text_columns | named)
    key_column = _find(table, key, KEY_NAMES, "--key", source)
    title_column = _find(table, title, TITLE_NAMES, "--title", source, required=False)
    image_columns = _find_images(table, image, source)
    columns = {key_column: "key", **dict.fromkeys(image_columns, "pictures")}
    if title_column:
        columns[title_column] = "title"
    for name in table.columns:
        columns.setdefault(name, str(table.types.get(name, "field")))
    return Feed(
        _readable(source),
        table.count,
        columns,
        _table=table,
        _folder=source.parent,
        _key=key_column,
        _title=title_column,
        _images=image_columns,
    )


def _find_images(table: Table, image: str | None, source: Path) -> tuple[str, ...]:
    first = _find(table, image, IMAGE_NAMES, "--image", source, required=False)
    rest = [
        name
        for name in table.columns
        if name != first and (_NUMBERED_IMAGE.fullmatch(name) or name.lower() in _MORE_IMAGES) and not image
    ]
    found = ([first] if first else []) + rest
    if not found:
        raise FeedError(_not_found("pictures", "--image", IMAGE_NAMES, table, source))
    return tuple(found)


def _find(
    table: Table, wanted: str | None, usual: tuple[str, ...], option: str, source: Path, *, required: bool = True
) -> str:
    by_lower = {name.lower(): name for name in reversed(table.columns)}
    if wanted is not None:
        if wanted in table.columns:
            return wanted
        if wanted.lower() in by_lower:
            return by_lower[wanted.lower()]
        raise FeedError(f"{source.name} has no column {wanted!r}; its columns are {', '.join(table.columns)}.")
    for name in usual:
        if name in by_lower:
            return by_lower[name]
    if required:
        raise FeedError(_not_found("the key", option, usual, table, source))
    return ""


def _not_found(what: str, option: str, usual: tuple[str, ...], table: Table, source: Path) -> str:
    return (
        f"{source.name} has no column for {what} (looked for {', '.join(usual[:6])}...). "
        f"Name it with {option}; the columns are {', '.join(table.columns)}."
    )


def _field_name(column: str) -> str:
    """Call a column as its field: one named `key` or `title` that is neither gets a stroke behind its name."""
    return f"{column}_" if column in ("key", "title") else column


def _readable(source: Path) -> str:
    return os.fsencode(source.resolve().name).decode("utf-8", "backslashreplace")


def _as_text(value: Value) -> str | None:
    if value is None:
        return None
    return str(value).strip() or None


def _sources(value: Value) -> list[str]:
    """Split a cell into the pictures it names: a list, a JSON list in text, or text with `|` between.

    Raises:
        UsageError: the cell holds the picture itself.
    """
    if isinstance(value, bytes) or (isinstance(value, list) and any(isinstance(part, bytes) for part in value)):
        raise UsageError("Pictures are named by their paths here, not held in the feed as bytes.")
    if isinstance(value, str) and value.lstrip().startswith("["):
        with contextlib.suppress(orjson.JSONDecodeError):  # a file name may begin with a bracket
            value = orjson.loads(value)
    if isinstance(value, list):
        return [text for part in value if (text := _as_text(part))]
    text = _as_text(value)
    return [part.strip() for part in text.split(LIST_SEPARATOR) if part.strip()] if text else []


def _item_image(source: str, folder: Path) -> ItemImage:
    """Find where a picture is; one that is named by its place on this machine is called by its name alone."""
    path = Path(source)
    if is_address(source):
        return ItemImage(source, Address(source))
    for named in (path, PureWindowsPath(source)):  # a feed may come from another machine
        if named.is_absolute():
            return ItemImage(named.name, path)
    return ItemImage(source, folder / path)


def _words(stem: str) -> str:
    return re.sub(r"[\s_\-+.]+", " ", stem).strip() or stem


def _is_catalog(parent: bytes, name: bytes) -> bool:
    return all(Path(os.fsdecode(parent), os.fsdecode(name), file).is_file() for file in _CATALOG_FILES)


def _walk(folder: Path) -> Iterator[bytes]:
    """Yield the paths of all files below, relative, in the order of their bytes; hidden files and folders left out."""
    root = os.fsencode(folder)
    for parent, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(b".") and not _is_catalog(parent, name))
        for name in sorted(files):
            if not name.startswith(b"."):
                yield os.path.relpath(parent + b"/" + name, root)

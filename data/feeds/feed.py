"""Feeds: product catalogues of any format, read as a stream of items. `open_feed` opens every kind of source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import fsdecode, fsencode
from os.path import relpath
from pathlib import Path
from typing import Unpack

from lookalike.data.archives.archive import is_archive, is_tar, open_archive
from lookalike.data.errors import FeedError, UsageError
from lookalike.data.feeds.archive_feed import (
    ExtractedFeed,
    archive_resolver,
    find_feed,
    items_of_archive,
    sidecars_of_archive,
)
from lookalike.data.feeds.column_names import IMAGE_NAMES, KEY_NAMES, TITLE_NAMES
from lookalike.data.feeds.feed_options import FeedOptions, absolute, variants_of
from lookalike.data.feeds.folder import items_of_folder, pictures_beside, readable
from lookalike.data.feeds.folder_walk import is_catalog, walk
from lookalike.data.feeds.hugging_face import is_dataset, open_dataset
from lookalike.data.feeds.known_exports import export_of
from lookalike.data.feeds.left_out import LeftOut, note_of
from lookalike.data.feeds.named_pictures import Resolve, feed_folder_resolver
from lookalike.data.feeds.products import products_of
from lookalike.data.feeds.table import Table
from lookalike.data.feeds.table_feed import (
    ROW_KEY,
    UsualNames,
    columns_of,
    items_of,
    text_columns,
)
from lookalike.data.feeds.tables import open_table
from lookalike.data.feeds.webdataset import are_shards, expand, open_shards
from lookalike.data.field_type import FieldType
from lookalike.data.item import Item, Rejected

__all__ = [
    "IMAGE_NAMES",
    "KEY_NAMES",
    "TITLE_NAMES",
    "Feed",
    "FeedOptions",
    "FeedSource",
    "feed_of_files",
    "named_feed",
    "open_feed",
    "open_feeds",
    "rows_of_feed",
]

_CAPTIONS = ("caption", "text")
_SHARD_NAMES = UsualNames((ROW_KEY, *KEY_NAMES), (), ("txt", *TITLE_NAMES, *_CAPTIONS))
_DATASET_NAMES = UsualNames((*KEY_NAMES, ROW_KEY), (), (*TITLE_NAMES, *_CAPTIONS))
_SHARD_COMPANIONS = (".json", ".md", ".txt", ".yaml", ".yml", ".idx", ".index", "license")


@dataclass(frozen=True, slots=True)
class FeedSource:
    """The absolute path from which a feed was opened, and the options given by the caller."""

    path: str
    options: FeedOptions = field(default_factory=FeedOptions)


@dataclass(frozen=True, slots=True)
class Feed:
    """A source of items that can be iterated any number of times.

    `count` is the number of rows or files. `columns` maps each column to its role, in words. `folder` is the folder of
    the pictures if every file in it is an item. `source` has the arguments that open the whole feed again, if known.
    `notes` are sentences about how the source was read. `is_named` is whether the name is settled, by the caller or by
    the catalog, and `prefix` is what all keys begin with beside the path.

    >>> feed = open_feed("products.csv")
    >>> feed.count, [item.key for item in feed][:2]
    (9, ['acoustic-guitar', 'baseball'])
    """

    name: str
    count: int
    columns: Mapping[str, str]
    _entries: Callable[[], Iterator[Item | Rejected]] = field(repr=False)
    folder: Path | None = None
    source: FeedSource | None = None
    notes: tuple[str, ...] = ()
    is_named: bool = False
    prefix: str = ""
    _taken: dict[str, tuple[str, int]] | None = field(default=None, repr=False)

    def noting(self, keys: set[str]) -> Feed:
        """Return the same feed; iterating it adds the key of every row, rejected ones too, to `keys`.

        >>> keys = set()
        >>> len(list(open_feed("products.csv").noting(keys))), "cherry" in keys
        (9, True)
        """

        def entries() -> Iterator[Item | Rejected]:
            for entry in self._entries():
                if entry.key is not None:
                    keys.add(entry.key)
                yield entry

        return replace(self, _entries=entries)

    def __iter__(self) -> Iterator[Item | Rejected]:
        """Yield one `Item` or `Rejected` for each row, in order.

        A second row with the same key is rejected, even if the first one is.
        """
        taken = {} if self._taken is None else self._taken
        for entry in self._entries():
            if entry.key is None:
                yield entry
                continue
            name, row = taken.setdefault(entry.key, (self.name, entry.row))
            if (name, row) == (self.name, entry.row):
                yield entry
            elif isinstance(entry, Rejected):
                yield replace(entry, repeated=True)
            else:
                where = "" if name == self.name else f" of {name}"
                reason = f"Row {row}{where} has the key {entry.key!r} too; only the first row is used."
                yield Rejected(entry.row, reason, entry.key, repeated=True)


def open_feeds(
    sources: Sequence[Path], *, types: Mapping[str, FieldType] | None = None, **options: Unpack[FeedOptions]
) -> list[Feed]:
    """Open several sources to be read one after the other. If a key occurs in several sources, its first row is used.

    Feeds of the same name are distinguished by the folders they lie in.

    Raises:
        FeedError: one of the sources cannot be read.
    """
    feeds = [open_feed(source, types=types, **options) for source in sources]
    names = Counter(feed.name for feed in feeds)
    taken: dict[str, tuple[str, int]] = {}
    return [
        replace(
            feed,
            name=feed.name if names[feed.name] == 1 else f"{_readable(source.parent)}/{feed.name}",
            _taken=taken,
        )
        for source, feed in zip(sources, feeds, strict=True)
    ]


def open_feed(
    source: str | Path, *, types: Mapping[str, FieldType] | None = None, **options: Unpack[FeedOptions]
) -> Feed:
    """Open a source: a feed file, a folder or an archive of pictures, WebDataset shards, or the folder of a dataset.

    Columns are found by their usual names in any case (`KEY_NAMES`, `IMAGE_NAMES`, `TITLE_NAMES`), unless the option
    `key`, `image` or `title` names them; every other column becomes a field. Exports of shop systems are known by their
    columns; the option `variants` ("join" or "items") decides whether the variants of a product are items of their own.
    Picture paths are relative to the feed file, in an archive too, unless the option `base` names another folder or a
    web address. `types` has the types of fields that the catalog already has. For a folder or archive of pictures,
    the key is the path within it, `category` is the first folder, `folder` its levels, and the title is the file name
    in words, unless a camera made it up; metadata of the pictures becomes fields when they are indexed. Hidden files,
    sidecars and catalogs are left out, as `notes` says. Shards are named by a pattern (`shop-{000..009}.tar`), by their
    folder, or singly.

    >>> feed = open_feed("products.csv")
    >>> feed.columns["title"], feed.columns["price"]
    ('title', 'float')
    >>> for item in feed:
    ...     print(item.key, item.title, item.fields["price"])
    ...     break
    acoustic-guitar Acoustic Guitar 263.7

    Raises:
        FeedError: there is no such source, it cannot be read, or it has no column for the key or the pictures.
    """
    unknown = options.keys() - FeedOptions.__annotations__.keys()
    if unknown:
        raise TypeError(f"open_feed() got an unexpected keyword argument {min(unknown)!r}")
    source = Path(source)
    options = absolute(options)
    variants_of(options)
    feed = _open(source, options, types or {})
    return replace(feed, source=FeedSource(str(source.absolute()), options))


def named_feed(feed: Feed, name: str, prefix: str = "", *, note: str = "") -> Feed:
    """Return the same feed of a folder under a name that is settled; all keys begin with `prefix`."""
    notes = (*feed.notes, note) if note else feed.notes
    named = replace(feed, name=name, is_named=True, prefix=prefix, notes=notes)
    return replace(named, _entries=lambda: (_prefixed(one, prefix) for one in feed._entries())) if prefix else named


def rows_of_feed(feed: Feed) -> Iterator[Item | Rejected]:
    """Yield the rows of a feed in order, without a look at repeated keys."""
    return feed._entries()


def _prefixed(entry: Item | Rejected, prefix: str) -> Item | Rejected:
    if isinstance(entry, Rejected):
        return entry
    images = tuple(replace(image, source=prefix + image.source) for image in entry.images)
    try:
        return replace(entry, key=prefix + entry.key, images=images)
    except UsageError as error:
        return Rejected(entry.row, str(error), source=ascii(entry.key))


def _open(source: Path, options: FeedOptions, types: Mapping[str, FieldType]) -> Feed:
    if source.is_dir():
        return _open_folder(source, options)
    if not source.exists() and len(shards := expand(str(source))) > 1:
        return _feed_of_shards(source, [Path(shard) for shard in shards], options)
    if is_archive(source.name):
        return _open_archive(source, options, types)
    table = open_table(source, types=types, text_columns=text_columns(*_named(options).values()))
    return _feed_of_table(source, table, options, feed_folder_resolver(source.parent, options.get("base")))


def feed_of_files(folder: Path, files: Sequence[bytes]) -> Feed:
    """Return some files of a folder of pictures as a feed named after the folder; `files` are paths relative to it.

    A sidecar among them stands for the pictures that it is about.
    """
    return _feed_of_folder(folder, pictures_beside(folder, files), ())


def _feed_of_folder(folder: Path, files: Sequence[bytes], unlisted: Sequence[str], notes: tuple[str, ...] = ()) -> Feed:
    """Return files as a feed. The reasons in `unlisted`, one for each subfolder not listed, follow as rejected rows."""

    def entries() -> Iterator[Item | Rejected]:
        yield from items_of_folder(folder, files)
        for number, reason in enumerate(unlisted, start=len(files) + 1):
            yield Rejected(number, reason)

    return Feed(_readable(folder), len(files) + len(unlisted), {}, entries, folder, notes=notes)


def _open_folder(folder: Path, options: FeedOptions) -> Feed:
    if is_catalog(fsencode(folder)):
        raise FeedError(
            f"{folder.name} is a catalog, not a folder of pictures.", remedy="Search it instead of indexing it."
        )
    unlisted: list[str] = []

    def record(error: OSError) -> None:
        inner = readable(relpath(fsencode(error.filename), fsencode(folder)))
        unlisted.append(f"The folder {inner!r} cannot be listed: {error.strerror}.")

    left_out: Counter[LeftOut] = Counter()
    files = tuple(walk(folder, record, left_out=left_out))
    if not files:
        raise FeedError(f"The folder {folder.name!r} has no files{' that can be listed' * bool(unlisted)}.")
    if is_dataset(files):
        table = open_dataset(folder, files)
        return _feed_of_table(folder, table, options, feed_folder_resolver(folder), _DATASET_NAMES)
    names = [fsdecode(file) for file in files]
    shards = [folder / name for name in names if is_tar(name)]
    if shards and all(is_tar(name) or name.lower().endswith(_SHARD_COMPANIONS) for name in names):
        return _feed_of_shards(folder, shards, options)
    _check_unnamed("A folder", options)
    return _feed_of_folder(folder, files, unlisted, note_of(left_out))


def _open_archive(source: Path, options: FeedOptions, types: Mapping[str, FieldType]) -> Feed:
    archive = open_archive(source)
    names = [member.name for member in archive]
    if not names:
        raise FeedError(f"The archive {source.name} has no files.")
    if (inside := find_feed(names, source.name)) is not None:
        archive = archive.with_random_access()
        extracted = ExtractedFeed(archive, inside)
        table = extracted.table(types, text_columns(*_named(options).values()))
        base = options.get("base")
        resolve = archive_resolver(archive, inside) if base is None else feed_folder_resolver(source.parent, base)
        return _feed_of_table(source, table, options, resolve)
    if is_tar(source.name) and are_shards(names):
        return _feed_of_shards(source, [source], options)
    _check_unnamed("An archive", options)
    beside = sidecars_of_archive(names)
    left_out = archive.left_out + Counter({LeftOut.SIDECAR: len(beside.names)})
    count = len(names) - sum(name in beside.names for name in names)
    return Feed(_readable(source), count, {}, lambda: items_of_archive(archive, beside), notes=note_of(left_out))


def _feed_of_shards(source: Path, paths: Sequence[Path], options: FeedOptions) -> Feed:
    return _feed_of_table(source, open_shards(paths), options, feed_folder_resolver(source.parent), _SHARD_NAMES)


def _feed_of_table(
    source: Path, table: Table, options: FeedOptions, resolve: Resolve, usual: UsualNames | None = None
) -> Feed:
    named, variants = _named(options), variants_of(options)
    export = export_of(table.columns) if usual is None and not any(named.values()) else None
    if export is not None:
        table = products_of(table, export, variants)
    elif variants is not None:
        raise FeedError(
            f"{source.name} is not an export whose variants are known, or its columns are named by options.",
            remedy="Leave out --variants.",
        )
    columns = columns_of(table, source.name, **named, usual=usual)
    return Feed(
        _readable(source), table.count, columns.words, lambda: items_of(table, columns, resolve), notes=table.notes
    )


def _named(options: FeedOptions) -> dict[str, str | None]:
    """Return the columns that the caller names, or None for those to find by their usual names."""
    return {"key": options.get("key"), "image": options.get("image"), "title": options.get("title")}


def _check_unnamed(kind: str, options: FeedOptions) -> None:
    if options:
        shown = ", ".join(f"--{name}" for name in options)
        raise FeedError(f"{kind} of pictures has no columns.", remedy=f"Leave out {shown}.")


def _readable(source: Path) -> str:
    return readable(fsencode(source.resolve().name))

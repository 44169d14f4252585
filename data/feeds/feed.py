"""A catalogue as it comes in, from any source, as a stream of items: the one door is `open_feed`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import fsdecode, fsencode
from os.path import relpath
from pathlib import Path

from lookalike.data.archives.archive import is_archive, is_tar, open_archive
from lookalike.data.errors import FeedError
from lookalike.data.feeds.archive_feed import Extracted, beside_in, find_feed, items_of_archive
from lookalike.data.feeds.folder import is_catalog, items_of_folder, readable, walk
from lookalike.data.feeds.hugging_face import is_dataset, open_dataset
from lookalike.data.feeds.table import Table
from lookalike.data.feeds.table_feed import (
    IMAGE_NAMES,
    KEY_NAMES,
    ROW_KEY,
    TITLE_NAMES,
    Resolve,
    Usual,
    columns_of,
    file_beside,
    items_of,
    plain_columns,
)
from lookalike.data.feeds.tables import open_table
from lookalike.data.feeds.webdataset import are_shards, expand, open_shards
from lookalike.data.field_type import FieldType
from lookalike.data.item import Item, Rejected

__all__ = ["IMAGE_NAMES", "KEY_NAMES", "TITLE_NAMES", "Feed", "FeedSource", "feed_of_files", "open_feed", "open_feeds"]

_Named = Mapping[str, str | None]
"""The columns that a caller names as `key`, `image` and `title`; None where they are to be found."""

_CAPTIONS = ("caption", "text")
_SHARD_NAMES = Usual((ROW_KEY, *KEY_NAMES), (), ("txt", *TITLE_NAMES, *_CAPTIONS))
_DATASET_NAMES = Usual((*KEY_NAMES, ROW_KEY), (), (*TITLE_NAMES, *_CAPTIONS))
_BESIDE_SHARDS = (".json", ".md", ".txt", ".yaml", ".yml", ".idx", ".index", "license")


@dataclass(frozen=True, slots=True)
class FeedSource:
    """Where a feed was opened, as an absolute path of this machine, and the columns that were named."""

    path: str
    key: str | None = None
    image: str | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Feed:
    """A source of items that can be read any number of times.

    `count` is the number of rows or files; `columns` says in words what each column was taken for. `folder` is that of
    the pictures where each file of a folder is an item. `source` is what opens the whole feed again, if that is known.
    """

    name: str
    count: int
    columns: Mapping[str, str]
    _entries: Callable[[], Iterator[Item | Rejected]] = field(repr=False)
    folder: Path | None = None
    source: FeedSource | None = None
    _taken: dict[str, tuple[str, int]] | None = field(default=None, repr=False)

    def noting(self, keys: set[str]) -> Feed:
        """Return the same feed; while it is read, the keys of its rows, also of rejected ones, go into `keys`."""

        def entries() -> Iterator[Item | Rejected]:
            for entry in self._entries():
                if entry.key is not None:
                    keys.add(entry.key)
                yield entry

        return replace(self, _entries=entries)

    def __iter__(self) -> Iterator[Item | Rejected]:
        """Yield one `Item` or `Rejected` a row, in order; a key's second row is rejected."""
        taken = {} if self._taken is None else self._taken
        refused: set[str] = set()
        for entry in self._entries():
            if isinstance(entry, Item):
                name, row = taken.setdefault(entry.key, (self.name, entry.row))
                if (name, row) != (self.name, entry.row):
                    where = "" if name == self.name else f" of {name}"
                    reason = f"The key {entry.key!r} is that of row {row}{where} too; only the first is taken."
                    yield Rejected(entry.row, reason, entry.key, again=True)
                    continue
            elif (key := entry.key) is not None:
                entry = replace(entry, again=key in taken or key in refused)
                refused.add(key)
            yield entry


def open_feeds(
    sources: Sequence[Path],
    *,
    key: str | None = None,
    image: str | None = None,
    title: str | None = None,
    types: Mapping[str, FieldType] | None = None,
) -> list[Feed]:
    """Open several sources to be read one after the other: of a key that several have, the first is taken.

    Two of one name are told apart by the folders they lie in.

    Raises:
        FeedError: one of them cannot be read.
    """
    feeds = [open_feed(source, key=key, image=image, title=title, types=types) for source in sources]
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
    source: Path,
    *,
    key: str | None = None,
    image: str | None = None,
    title: str | None = None,
    types: Mapping[str, FieldType] | None = None,
) -> Feed:
    """Open a source: a feed file, a folder or an archive of pictures, WebDataset shards, or a dataset's folder.

    Columns are found by their usual names (`KEY_NAMES`, `IMAGE_NAMES`, `TITLE_NAMES`, in any case) unless named here;
    every other column becomes a field. Picture paths are relative to the feed file, also in an archive. `types` are the
    types that the catalog's fields have already. In a folder or an archive of pictures the key is the path in it,
    `category` the first folder and the title the file name in words; hidden files and catalogs are left out. Shards are
    named by a pattern (`shop-{000..009}.tar`), by their folder, or one by itself.

    Raises:
        FeedError: there is no such source, it cannot be read, or no column for the key or the pictures is found.
    """
    named = {"key": key, "image": image, "title": title}
    feed = _opened(source, named, types or {})
    return replace(feed, source=FeedSource(str(source.absolute()), **named))


def _opened(source: Path, named: _Named, types: Mapping[str, FieldType]) -> Feed:
    if source.is_dir():
        return _open_folder(source, named)
    if not source.exists() and len(shards := expand(str(source))) > 1:
        return _of_shards(source, [Path(shard) for shard in shards], named)
    if is_archive(source.name):
        return _open_archive(source, named, types)
    table = open_table(source, types=types, plain=plain_columns(*named.values()))
    return _of_table(source, table, named, file_beside(source.parent))


def feed_of_files(folder: Path, files: Sequence[bytes]) -> Feed:
    """Return some files of a folder of pictures as a feed, under the folder's name; `files` are paths in it."""
    return _of_files(folder, files, ())


def _of_files(folder: Path, files: Sequence[bytes], unlisted: Sequence[str]) -> Feed:
    """Return files as a feed, and as rejected rows behind them why a folder below could not be listed."""

    def entries() -> Iterator[Item | Rejected]:
        yield from items_of_folder(folder, files)
        for number, reason in enumerate(unlisted, start=len(files) + 1):
            yield Rejected(number, reason)

    return Feed(_readable(folder), len(files) + len(unlisted), {}, entries, folder)


def _open_folder(folder: Path, named: _Named) -> Feed:
    if is_catalog(fsencode(folder)):
        raise FeedError(f"{folder.name} is a catalog, not a folder of pictures; it is searched, not indexed.")
    unlisted: list[str] = []

    def note(error: OSError) -> None:
        inner = readable(relpath(fsencode(error.filename), fsencode(folder)))
        unlisted.append(f"The folder {inner!r} cannot be listed: {error.strerror}.")

    files = tuple(walk(folder, note))
    if not files:
        raise FeedError(f"The folder {folder.name!r} has no files{' that can be listed' * bool(unlisted)}.")
    if is_dataset(folder, files):
        return _of_table(folder, open_dataset(folder, files), named, file_beside(folder), _DATASET_NAMES)
    names = [fsdecode(file) for file in files]
    shards = [folder / name for name in names if is_tar(name)]
    if shards and all(is_tar(name) or name.lower().endswith(_BESIDE_SHARDS) for name in names):
        return _of_shards(folder, shards, named)
    _check_unnamed("A folder", named)
    return _of_files(folder, files, unlisted)


def _open_archive(source: Path, named: _Named, types: Mapping[str, FieldType]) -> Feed:
    archive = open_archive(source)
    names = [member.name for member in archive]
    if not names:
        raise FeedError(f"The archive {source.name} has no files.")
    if (inside := find_feed(names, source.name)) is not None:
        archive = archive.made_random()
        extracted = Extracted(archive, inside)
        table = extracted.table(types, plain_columns(*named.values()))
        return _of_table(source, table, named, beside_in(archive, inside))
    if is_tar(source.name) and are_shards(names):
        return _of_shards(source, [source], named)
    _check_unnamed("An archive", named)
    return Feed(_readable(source), len(names), {}, lambda: items_of_archive(archive))


def _of_shards(source: Path, paths: Sequence[Path], named: _Named) -> Feed:
    return _of_table(source, open_shards(paths), named, file_beside(source.parent), _SHARD_NAMES)


def _of_table(source: Path, table: Table, named: _Named, resolve: Resolve, usual: Usual | None = None) -> Feed:
    columns = columns_of(table, source.name, **named, usual=usual)
    return Feed(_readable(source), table.count, columns.words, lambda: items_of(table, columns, resolve))


def _check_unnamed(what: str, named: _Named) -> None:
    if any(named.values()):
        raise FeedError(f"{what} of pictures has no columns; --key, --image and --title are for feed files.")


def _readable(source: Path) -> str:
    return readable(fsencode(source.resolve().name))

"""WebDataset shards: tar archives in which files that differ only in their suffix form one sample.

The sample of `shop/0017.jpg`, `shop/0017.json` and `shop/0017.txt` has the key `shop/0017`, which ends at the first dot
of the file name. Its pictures are those of the item. Texts (`.txt`, `.caption`) and `.cls` are columns named after the
suffix, the text usually being the title, and so is every entry of the `.json`. Files with other suffixes are ignored.
(The format: Aizman, Maltby and Breuel, 2019, arXiv:2001.01858.)
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from lookalike.data.archives.archive import Archive, open_archive
from lookalike.data.errors import FeedError, LookalikeError
from lookalike.data.feeds.archive_feed import rejection_of
from lookalike.data.feeds.table import Cell, Row, Table
from lookalike.data.feeds.table_feed import ROW_KEY
from lookalike.data.item import Rejected
from lookalike.data.pictures.picture_sources import Member

__all__ = ["are_shards", "expand", "open_shards"]

_PICTURES = frozenset(
    (
        "jpg",
        "jpeg",
        "png",
        "webp",
        "gif",
        "bmp",
        "tif",
        "tiff",
        "avif",
        "jp2",
        "j2k",
        "ppm",
        "pgm",
        "heic",
        "heif",
        "svg",
    )
)  # formats that cannot be decoded are reported with the reason
_TEXTS = ("txt", "caption", "cls")
_SIDECARS = frozenset((*_TEXTS, "json"))
_MAX_TEXT_BYTES = 16 * 1024 * 1024
_MAX_SHARDS = 100_000
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")


def expand(pattern: str) -> list[str]:
    """Return the names that a pattern with braces stands for, as in a shell: `s-{00..02}.tar`, `{train,test}.tar`.

    Several pairs of braces are combined.

    Raises:
        FeedError: the pattern stands for more than a hundred thousand names.
    """
    match = _RANGE.search(pattern)
    if match is None:
        return [pattern]
    first, last, names = match.groups()
    middle: Sequence[str] = names.split(",") if names is not None else ()
    if names is None:
        width = len(first) if first.startswith("0") or len(first) == len(last) else 0
        numbers = range(int(first), int(last) + 1)
        if len(numbers) > _MAX_SHARDS:
            raise FeedError(f"{pattern} names more than {_MAX_SHARDS:,} files.")
        middle = [f"{number:0{width}}" for number in numbers]
    rest = expand(pattern[match.end() :])
    if len(middle) * len(rest) > _MAX_SHARDS:
        raise FeedError(f"{pattern} names more than {_MAX_SHARDS:,} files.")
    return [pattern[: match.start()] + part + end for part in middle for end in rest]


def are_shards(names: Sequence[str]) -> bool:
    """Return whether the files of an archive are samples: some picture has a text or metadata file of the same name."""
    parts = [_split(name) for name in names]
    pictures = {key for key, part in parts if _is_picture(part)}
    return any(key in pictures for key, part in parts if part in _SIDECARS)


def open_shards(paths: Sequence[Path]) -> Table:
    """Open shards as one table with a row for each sample; a sample that cannot be read is a rejected row.

    Raises:
        FeedError: a file is missing, or no shard has a sample with a picture.
    """
    for path in paths:
        if not path.is_file():
            raise FeedError(f"There is no shard at {path.name!r}.")
    parts: dict[str, None] = {}
    metadata: dict[str, None] = {}
    count = 0
    for row in _samples(paths):
        count += 1
        if not isinstance(row, Rejected):
            parts.update(dict.fromkeys(row[1]))
            if not metadata and "json" in row[1]:
                values = _values(count, *row)
                metadata.update(dict.fromkeys(values.values) if isinstance(values, Row) else {})
    pictures = tuple(part for part in parts if _is_picture(part))
    if not pictures:
        raise FeedError(f"{paths[0].name} has no sample with a picture.")
    columns = dict.fromkeys((ROW_KEY, *(part for part in parts if part in _TEXTS), *metadata, *pictures))
    return Table(tuple(columns), count, {}, lambda: _rows(paths), pictures)


def _rows(paths: Sequence[Path]) -> Iterator[Row | Rejected]:
    for number, sample in enumerate(_samples(paths), start=1):
        if isinstance(sample, Rejected):
            yield Rejected(number, sample.reason, source=sample.source)
        else:
            yield _values(number, *sample)


def _samples(paths: Sequence[Path]) -> Iterator[tuple[str, dict[str, Member]] | Rejected]:
    """Yield samples: the key, and the members by suffix."""
    for path in paths:
        try:
            yield from _samples_of(open_archive(path))
        except FeedError as error:
            yield Rejected(0, str(error), source=path.name)


def _samples_of(archive: Archive) -> Iterator[tuple[str, dict[str, Member]] | Rejected]:
    """Yield the samples of one shard; members that cannot belong to a sample are rejected, each with the reason."""
    seen: set[str] = set()
    for key, members in itertools.groupby(archive, key=lambda member: _split(member.name)[0]):
        parts: dict[str, Member] = {}
        for member in members:
            if member.refused:
                yield rejection_of(0, member)
                continue
            part = _split(member.name)[1]
            if part in parts:
                reason = f"{archive.name} has a second member of this name; only the first is used."
                yield Rejected(0, reason, source=member.name)
            elif key in seen and _is_used(part):
                reason = (
                    f"The sample {key!r} does not lie together in {archive.name}: other samples are between its "
                    "members, and this one comes too late to be used."
                )
                yield Rejected(0, reason, source=member.name)
            else:
                parts[part] = member
        if key not in seen and any(map(_is_used, parts)):
            seen.add(key)
            yield key, parts


def _values(number: int, key: str, parts: dict[str, Member]) -> Row | Rejected:
    values: dict[str, Cell] = {}
    try:
        if "json" in parts:
            read = orjson.loads(parts["json"].place.read(max_bytes=_MAX_TEXT_BYTES))
            if not isinstance(read, dict):
                return Rejected(number, "Its .json is not a JSON object.", key)
            values.update(read)
        for part in _TEXTS:
            if part in parts:
                text = parts[part].place.read(max_bytes=_MAX_TEXT_BYTES).decode("utf-8").strip()
                values[part] = int(text) if part == "cls" and text.isdecimal() else text
    except (orjson.JSONDecodeError, UnicodeDecodeError, LookalikeError) as error:
        return Rejected(number, f"Its metadata cannot be read: {error}.".replace("..", "."), key)
    values.update({part: member.place for part, member in parts.items() if _is_picture(part)})
    return Row(number, {**values, ROW_KEY: key})


def _split(name: str) -> tuple[str, str]:
    """Return the key of a file's sample and its lower-case suffix, split at the first dot of the file name."""
    folder, slash, file = name.rpartition("/")
    stem, _, part = file.partition(".")
    return folder + slash + stem, part.lower()


def _is_used(part: str) -> bool:
    return part in _SIDECARS or _is_picture(part)


def _is_picture(part: str) -> bool:
    return part.rpartition(".")[2] in _PICTURES

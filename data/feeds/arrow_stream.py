"""Batches out of a file in Arrow's stream format, one at a time.

Polars reads such a stream whole; here it is given the schema and one batch, so that memory is bounded by a batch. The
framing is that of the Arrow columnar format, 1.5, "IPC streaming format": a message is a marker, the length of its
metadata (a FlatBuffers table), that metadata padded to 8 bytes, and its body.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lookalike.data.errors import FeedError

__all__ = ["arrow_batches", "count_arrow_rows"]

_MARKER = b"\xff\xff\xff\xff"
_END = _MARKER + b"\0\0\0\0"
_MAX_METADATA = 256 * 1024 * 1024
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3
_HEADER_KIND, _HEADER, _BODY_LENGTH = 1, 2, 3  # the fields of a Message that are read here


@dataclass(frozen=True, slots=True)
class _Message:
    kind: int
    rows: int
    start: int
    body: int
    end: int


def count_arrow_rows(path: Path) -> int:
    """Count the rows of a stream; only the metadata of its messages is read.

    Raises:
        FeedError: it is not such a stream, or is damaged or cut short.
    """
    return sum(message.rows for message in _messages(path))


def arrow_batches(path: Path) -> Iterator[pl.DataFrame]:
    """Yield the record batches of a stream, the first one possibly empty, in order.

    Raises:
        FeedError: it is not such a stream, is damaged or cut short, or has columns that cannot be read.
    """
    before = b""
    with path.open("rb") as file:
        for message in _messages(path):
            file.seek(message.start)
            content = file.read(message.end - message.start)
            if message.kind in (_SCHEMA, _DICTIONARY):
                before += content  # a dictionary holds for the batches behind it; a later one of its number replaces it
            if message.kind in (_SCHEMA, _BATCH):
                whole = before + (content if message.kind == _BATCH else b"") + _END
                try:
                    yield pl.read_ipc_stream(whole)
                except (pl.exceptions.PolarsError, OSError) as error:
                    raise FeedError(f"{path.name} cannot be read: {error}") from error


def _messages(path: Path) -> Iterator[_Message]:
    size = path.stat().st_size
    with path.open("rb") as file:
        start = 0
        while start < size:
            file.seek(start)
            prefix = file.read(8)
            if prefix == _END:
                return
            length = struct.unpack("<I", prefix[4:])[0] if len(prefix) == 8 and prefix[:4] == _MARKER else None
            if length is None or not 0 < length <= min(_MAX_METADATA, size - start):
                raise FeedError(f"{path.name} is not in Arrow's stream format, or is damaged or cut short.")
            try:
                message = _parsed(file.read(length), start, start + 8 + length)
            except (struct.error, IndexError) as error:
                raise FeedError(f"{path.name} is damaged: the batch at byte {start:,} has no readable head.") from error
            if not start < message.body <= message.end <= size or message.rows < 0:
                raise FeedError(f"{path.name} is damaged or cut short: the batch at byte {start:,} is not whole.")
            yield message
            start = message.end


def _parsed(metadata: bytes, start: int, body: int) -> _Message:
    """Read from the metadata of a message what kind it is, how long its body, and how many rows it has."""
    (root,) = struct.unpack_from("<I", metadata)
    kind_at, header_at, length_at = (_field(metadata, root, one) for one in (_HEADER_KIND, _HEADER, _BODY_LENGTH))
    kind = metadata[kind_at] if kind_at else 0
    length = struct.unpack_from("<q", metadata, length_at)[0] if length_at else 0
    rows = 0
    if kind == _BATCH and header_at:
        header = header_at + struct.unpack_from("<I", metadata, header_at)[0]
        rows_at = _field(metadata, header, 0)
        rows = struct.unpack_from("<q", metadata, rows_at)[0] if rows_at else 0
    return _Message(kind, rows, start, body, body + length)


def _field(buffer: bytes, table: int, number: int) -> int:
    """Give the place of a field of a FlatBuffers table, 0 where it is left at its default."""
    directory = table - struct.unpack_from("<i", buffer, table)[0]
    (length,) = struct.unpack_from("<H", buffer, directory)
    at = 4 + 2 * number
    offset = struct.unpack_from("<H", buffer, directory + at)[0] if at < length else 0
    return table + offset if offset else 0

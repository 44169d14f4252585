"""Record batches of a file in Arrow's streaming format, read one at a time.

Polars reads a stream as a whole. Here it gets the schema and a single batch each time, so that memory is bounded by one
batch. The framing follows the Arrow columnar format 1.5, "IPC streaming format": a message is a marker, the length of
its metadata (a FlatBuffers table), the metadata padded to 8 bytes, and a body.
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
_HEADER_KIND, _HEADER, _BODY_LENGTH = 1, 2, 3  # field numbers of the FlatBuffers table Message


@dataclass(frozen=True, slots=True)
class _Message:
    kind: int
    rows: int
    start: int
    body: int
    end: int


def count_arrow_rows(path: Path) -> int:
    """Return the number of rows in a stream, reading only the metadata of its messages.

    Raises:
        FeedError: the file is not an Arrow stream, or is damaged or truncated.
    """
    return sum(message.rows for message in _messages(path))


def arrow_batches(path: Path) -> Iterator[pl.DataFrame]:
    """Yield the record batches of a stream in order; the first one may be empty.

    Raises:
        FeedError: the file is not an Arrow stream, is damaged or truncated, or has columns that cannot be read.
    """
    preamble = b""
    with path.open("rb") as file:
        for message in _messages(path):
            file.seek(message.start)
            content = file.read(message.end - message.start)
            if message.kind in (_SCHEMA, _DICTIONARY):
                preamble += content  # a dictionary applies to all later batches, or until one of its number replaces it
            if message.kind in (_SCHEMA, _BATCH):
                whole = preamble + (content if message.kind == _BATCH else b"") + _END
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
                raise FeedError(f"{path.name} is not in Arrow's stream format, or is damaged or truncated.")
            try:
                message = _parsed(file.read(length), start, start + 8 + length)
            except (struct.error, IndexError) as error:
                raise FeedError(
                    f"{path.name} is damaged: the batch at byte {start:,} has no readable header."
                ) from error
            if not start < message.body <= message.end <= size or message.rows < 0:
                raise FeedError(f"{path.name} is damaged or truncated: the batch at byte {start:,} is incomplete.")
            yield message
            start = message.end


def _parsed(metadata: bytes, start: int, body: int) -> _Message:
    """Return the kind, row count and byte offsets of the message at byte `start` whose body begins at byte `body`."""
    (root,) = struct.unpack_from("<I", metadata)
    kind_at, header_at, length_at = (
        _field_offset(metadata, root, field) for field in (_HEADER_KIND, _HEADER, _BODY_LENGTH)
    )
    kind = metadata[kind_at] if kind_at else 0
    length = struct.unpack_from("<q", metadata, length_at)[0] if length_at else 0
    rows = 0
    if kind == _BATCH and header_at:
        header = header_at + struct.unpack_from("<I", metadata, header_at)[0]
        rows_at = _field_offset(metadata, header, 0)
        rows = struct.unpack_from("<q", metadata, rows_at)[0] if rows_at else 0
    return _Message(kind, rows, start, body, body + length)


def _field_offset(buffer: bytes, table: int, number: int) -> int:
    """Return the offset of field `number` of a FlatBuffers table, or 0 if the field has its default value."""
    directory = table - struct.unpack_from("<i", buffer, table)[0]
    (length,) = struct.unpack_from("<H", buffer, directory)
    at = 4 + 2 * number
    offset = struct.unpack_from("<H", buffer, directory + at)[0] if at < length else 0
    return table + offset if offset else 0

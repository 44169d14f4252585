"""Members of a tar archive. An uncompressed one is read at random, a compressed one from front to back.

Python's `tarfile` parses the headers, through a window that limits how much a header may ask for. It never touches the
disk.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tarfile
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from lookalike.data.errors import FeedError, NotAPicture
from lookalike.data.pictures.held_pictures import hold
from lookalike.data.pictures.image_decoder import MAX_BYTES
from lookalike.data.pictures.picture_sources import Member, Stored, Unreadable, check_size

__all__ = ["TarReader", "compression_of"]

_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_MAX_HEADER_BYTES = 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
_MAX_ZERO_BLOCKS = 2048
"""Maximum number of blocks of zeros between two archives in one file; programs pad archives to 20 blocks."""

_TRUSTED_BYTES = 1024**3
_MAX_RATIO = 200
_MIN_FREE_DISK_BYTES = 512 * 1024 * 1024


def compression_of(head: bytes) -> str | None:
    """Return the name of the compression of a file that begins with `head`, or None if it is not compressed."""
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


class TarReader:
    """A tar archive. `random_access` is true if its members can be read in any order and after the iteration."""

    def __init__(self, path: Path, unpacked: IO[bytes] | None = None) -> None:
        """Open a tar archive. `unpacked` is a file with its uncompressed content, if there is one.

        Raises:
            FeedError: the compression is not supported.
        """
        self._path = path
        file = unpacked or path.open("rb")
        self._compression = compression_of(file.read(8))
        if self._compression == "zstd":
            file.close()
            raise FeedError(
                f"{path.name} is compressed with Zstandard, which is not supported.",
                remedy="Decompress it with zstd -d first.",
            )
        self._shared = _SharedFile(file)
        self.random_access = self._compression is None

    def members(self) -> Iterator[Member]:
        """Yield the files in archive order. If the archive is damaged, the last member yielded has the reason.

        Raises:
            FeedError: the file is not a tar archive, or no member of it can be read.
        """
        last = None
        try:
            with closing(self._window()) as window:
                for last in _members(window):
                    yield last
        except Exception as error:  # a parser given hostile bytes may raise anything
            if last is None:
                raise FeedError(f"{self._path.name} is not a tar archive, or is damaged: {error}.") from error
            reason = f"The archive is damaged after {last.name!r}, and the rest is not read: {error}."
            yield Member(last.name, Unreadable(reason), reason)

    def unpacked(self) -> TarReader:
        """Return the same archive, unpacked into an unnamed file so that its members can be read in any order.

        Raises:
            FeedError: there is not enough disk space, or the archive is damaged.
        """
        file = cast(IO[bytes], tempfile.TemporaryFile())  # noqa: SIM115  # closed with the last reference to it
        try:
            with closing(self._window()) as window:
                while chunk := window.take(_CHUNK_BYTES):
                    if shutil.disk_usage(tempfile.gettempdir()).free < _MIN_FREE_DISK_BYTES:
                        raise FeedError(
                            f"There is not enough disk space to unpack {self._path.name}.",
                            remedy="Use a zip archive or an uncompressed tar.",
                        )
                    file.write(chunk)
        except Exception as error:  # see above
            file.close()
            if isinstance(error, FeedError):
                raise
            raise FeedError(f"{self._path.name} cannot be unpacked: {error}.") from error
        file.seek(0)
        return TarReader(self._path, file)

    def _window(self) -> _Window:
        if self._compression is None:
            return _Window(self._shared, 0)
        decompressor = {"gzip": gzip.GzipFile, "bzip2": bz2.BZ2File, "xz": lzma.LZMAFile}[self._compression]
        stream = cast(IO[bytes], decompressor(self._path))
        return _Window(stream, max(_TRUSTED_BYTES, _MAX_RATIO * self._path.stat().st_size))


def _members(window: _Window) -> Iterator[Member]:
    """Yield the members of an archive, and of further archives that were appended to it."""
    yield from _members_of_one(window)
    while window.is_at_archive():
        yield from _members_of_one(window)


def _members_of_one(window: _Window) -> Iterator[Member]:
    tar = tarfile.TarFile(fileobj=cast(IO[bytes], window), encoding="utf-8", errors="surrogateescape")
    previous = -1
    while (info := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined]  # tarfile would keep every header
        if info.size < 0 or tar.offset <= previous:
            raise tarfile.ReadError("a member has a size below zero")
        previous = tar.offset
        name = info.name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        reason = _refusal(info)
        if reason:
            yield Member(name, Unreadable(reason), reason)
        elif not info.isdir():
            yield Member(name, window.place(info.offset_data, info.size))
    if any(window.last):
        raise tarfile.ReadError("a header cannot be read")


def _refusal(info: tarfile.TarInfo) -> str:
    if info.issym() or info.islnk():
        return "It is a link, not a file; links in archives are not followed."
    if info.issparse():
        return "It is a sparse file, which is not supported."
    if not info.isreg() and not info.isdir():
        return "It is a device, a pipe or another special file, not a regular file."
    return ""


class _SharedFile:
    """An open file that threads read at positions of their own. It is closed when nothing refers to it any more."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lock = threading.Lock()
        weakref.finalize(self, file.close)

    def read_at(self, start: int, size: int) -> bytes:
        with self._lock:
            self._file.seek(start)
            return self._file.read(size)


@dataclass(frozen=True, slots=True)
class _Slice:
    """A picture stored within a larger file."""

    file: _SharedFile
    start: int
    size: int

    def read(self, *, max_bytes: int) -> bytes:
        check_size(self.size, max_bytes)
        try:
            content = self.file.read_at(self.start, self.size)
        except OSError as error:
            raise NotAPicture(f"The archive cannot be read: {error.strerror or error}.") from error
        if len(content) < self.size:
            raise NotAPicture("The archive ends in the middle of this file.")
        return content


class _Window:
    """The view of an archive that `tarfile` reads: headers of limited length, moving forward only."""

    def __init__(self, source: _SharedFile | IO[bytes], max_bytes: int) -> None:
        self.last = b""
        self._source = source
        self._max_bytes = max_bytes
        self._position = 0
        self._again = b""  # a block to take once more

    def close(self) -> None:
        if not isinstance(self._source, _SharedFile):
            self._source.close()

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        if isinstance(self._source, _SharedFile) and position >= 0:
            self._position, self._again = position, b""
        elif position < self._position:
            raise tarfile.ReadError("a header points backwards")
        while self._position < position and self.take(min(position - self._position, _CHUNK_BYTES)):
            pass

    def read(self, size: int) -> bytes:
        """Read `size` bytes of a header."""
        if not 0 <= size <= _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header claims to have {size:,} bytes")
        self.last = self.take(size)
        return self.last

    def place(self, start: int, size: int) -> Stored:
        """Return the place of the file that starts at `start`; the bytes of a compressed archive are read at once."""
        if isinstance(self._source, _SharedFile):
            return _Slice(self._source, start, size)
        try:
            check_size(size, MAX_BYTES)
        except NotAPicture as error:
            return Unreadable(str(error))
        self.seek(start)
        content = self.take(size)
        return hold(content) if len(content) == size else Unreadable("The archive ends in the middle of this file.")

    def is_at_archive(self) -> bool:
        """Skip the zeros that end an archive, and return whether another archive begins after them."""
        for _ in range(_MAX_ZERO_BLOCKS):
            block = self.take(tarfile.BLOCKSIZE)
            if len(block) < tarfile.BLOCKSIZE:
                return False
            if any(block):
                try:
                    tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
                except tarfile.HeaderError:  # what follows is no archive
                    return False
                self._again = block
                self._position -= len(block)
                return True
        return False

    def take(self, size: int) -> bytes:
        """Read the next `size` bytes; fewer are returned only at the end of the archive."""
        if self._again:
            again, self._again = self._again[:size], self._again[size:]
            self._position += len(again)
            return again + self.take(size - len(again)) if len(again) < size else again
        if isinstance(self._source, _SharedFile):
            content = self._source.read_at(self._position, size)
            self._position += len(content)
            return content
        chunks = []
        missing = size
        while missing and (chunk := self._source.read(min(missing, _CHUNK_BYTES))):
            chunks.append(chunk)
            missing -= len(chunk)
        self._position += size - missing
        if self._position > self._max_bytes:
            raise tarfile.ReadError(f"it unpacks to more than {_MAX_RATIO} times its size")
        return b"".join(chunks)

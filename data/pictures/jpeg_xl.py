"""JPEG XL pictures, decoded by libjxl in a guarded process; an optional extra.

The decoder has no limits of its own, and a small file may declare any size. So the size is read from the header first.
"""

from __future__ import annotations

from lookalike.data.errors import NotAPicture
from lookalike.data.pictures.bounds import check_size
from lookalike.data.pictures.decode_memory import MAX_DECODE_BYTES
from lookalike.data.pictures.guarded_process import GuardedProcess

__all__ = ["is_jpeg_xl", "jpeg_xl_as_png"]

_CODESTREAM = b"\xff\x0a"
_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_BASE_BYTES, _BYTES_PER_PIXEL = 384 * 1024**2, 40
_MAX_BOXES = 1000
_process = GuardedProcess("jpeg_xl_child.py", "pillow_jxl", "jxl", "picture", "JPEG XL pictures")


def is_jpeg_xl(content: bytes) -> bool:
    """Return whether a file is a JPEG XL picture, in a container or without one."""
    return content.startswith((_CODESTREAM, _CONTAINER))


def jpeg_xl_as_png(content: bytes, *, cpu_seconds: int = 30) -> bytes:
    """Return a JPEG XL picture as PNG, or as TIFF if its pixels are floating-point, with its colour profile.

    Raises:
        NotAPicture: the picture is damaged, exceeds the limits of `bounds.py`, takes too much time or memory, or the
            extra is not installed.
    """
    width, height = _size(content)
    check_size(width, height)
    memory_bytes = _BASE_BYTES + _BYTES_PER_PIXEL * width * height
    if memory_bytes > MAX_DECODE_BYTES:
        raise NotAPicture(
            f"The picture is too large ({width:,} x {height:,} pixels) to be decoded from JPEG XL.",
            remedy="Make it smaller, or save it as JPEG.",
        )
    return _process.run(content, (), cpu_seconds=cpu_seconds, memory_bytes=memory_bytes)


class _Bits:
    """Reads bits from the lowest of each byte."""

    def __init__(self, content: bytes) -> None:
        self._number = int.from_bytes(content, "little")
        self._left = 8 * len(content)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise NotAPicture("The picture is damaged or truncated.")
        found = self._number & ((1 << count) - 1)
        self._number >>= count
        return found

    def side(self) -> int:
        return 1 + self.take((9, 13, 18, 30)[self.take(2)])


def _size(content: bytes) -> tuple[int, int]:
    """Return the width and height in the header of the codestream."""
    stream = _codestream(content)
    if not stream.startswith(_CODESTREAM):
        raise NotAPicture("The picture is damaged or truncated.")
    bits = _Bits(stream[2:18])
    small = bits.take(1)
    height = 8 * (1 + bits.take(5)) if small else bits.side()
    ratio = bits.take(3)
    if ratio:
        across, down = _RATIOS[ratio]
        return height * across // down, height
    return (8 * (1 + bits.take(5)) if small else bits.side()), height


def _codestream(content: bytes) -> bytes:
    """Return the beginning of the codestream."""
    if content.startswith(_CODESTREAM):
        return content[:32]
    place = 0
    for _ in range(_MAX_BOXES):
        length, head = int.from_bytes(content[place : place + 4]), 8
        kind = content[place + 4 : place + 8]
        if length == 1:
            length, head = int.from_bytes(content[place + 8 : place + 16]), 16
        if kind in (b"jxlc", b"jxlp"):
            start = place + head + (4 if kind == b"jxlp" else 0)
            return content[start : start + 32]
        if length < head:
            break
        place += length
    return b""

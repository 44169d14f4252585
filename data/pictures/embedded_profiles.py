"""Colour profiles as picture files hold them, where Pillow does not read them or refuses the picture for them."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

from lookalike.data.pictures.coded_colours import coded_profile

__all__ = ["profile_of", "without_png_profile"]

_PNG = b"\x89PNG\r\n\x1a\n"
_JP2 = b"\0\0\0\x0cjP  \r\n\x87\n"
_RESTRICTED, _ANY_ICC = 2, 3
_MAX_PARTS = 1000


def profile_of(image: Image.Image, content: bytes) -> bytes:
    """Return the colour profile of a picture file, or nothing if it has none or is sRGB by its codes.

    `image` is the file, opened.
    """
    found = image.info.get("icc_profile")
    if isinstance(found, bytes) and found:
        return found
    return _jp2_profile(content) if content.startswith(_JP2) else coded_profile(content)


def without_png_profile(content: bytes) -> bytes | None:
    """Return a PNG without its colour profile, or None if it has no profile or is no PNG.

    Pillow refuses a whole PNG for a profile of more than 1 MB, or for one with a wrong checksum.
    """
    if not content.startswith(_PNG):
        return None
    place = len(_PNG)
    for _ in range(_MAX_PARTS):
        end = place + 12 + int.from_bytes(content[place : place + 4])
        kind = content[place + 4 : place + 8]
        if kind == b"iCCP":
            return content[:place] + content[end:]
        if kind in (b"IDAT", b"IEND", b""):
            return None
        place = end
    return None


def _jp2_profile(content: bytes) -> bytes:
    for kind, start, end in _boxes(content, 0, len(content)):
        if kind != b"jp2h":
            continue
        for inner, place, until in _boxes(content, start, end):
            if inner == b"colr" and content[place] in (_RESTRICTED, _ANY_ICC):
                return content[place + 3 : until]
    return b""


def _boxes(content: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind, the start and the end of each box between two places of a JPEG 2000 file."""
    for _ in range(_MAX_PARTS):
        if start + 8 >= end:
            return
        length, head = int.from_bytes(content[start : start + 4]), 8
        if length == 1:
            length, head = int.from_bytes(content[start + 8 : start + 16]), 16
        until = end if length == 0 else start + length
        if until > end or (length and length < head):
            return
        yield content[start + 4 : start + 8], start + head, until
        start = until

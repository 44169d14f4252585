"""The pages of a TIFF file, read from its directories before Pillow sees the file, and the choice of one of them.

The largest page is the picture: scanners and microscopes put previews first, and pyramids hold smaller copies.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from lookalike.data.errors import NotAPicture
from lookalike.data.pictures.bounds import MAX_PIXELS, MAX_SIDE

__all__ = ["MAX_TIFF_PAGES", "TiffPage", "chosen_page"]

MAX_TIFF_PAGES = 1000
"""Maximum number of pages among which one is chosen; later ones are not looked at."""

MAX_TIFF_PARTS = 250_000
"""Maximum number of strips or tiles of a page."""

MAX_TIFF_ENTRIES = 200_000
"""Maximum number of entries of all directories together."""

MAX_ENTRY_BYTES = 256 * 1024 * 1024
"""Maximum size of the values of all directories together; several entries may name the same bytes of a file."""

_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INLINE = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
_SUBFILE, _WIDTH, _LENGTH, _BITS, _PHOTOMETRIC, _SAMPLES = 254, 256, 257, 258, 262, 277
_PART_TAGS = (273, 279, 324, 325)
_REDUCED, _MASK = 1, 4


@dataclass(frozen=True, slots=True)
class _Directory:
    """A directory: the values of its tags of one number, and where in the file and in which form they lie."""

    values: dict[int, int]
    places: dict[int, tuple[int, str]]

    @property
    def pixels(self) -> int:
        """The number of pixels, or 0 if the page is out of bounds, a mask or without a size."""
        width, height = self.values.get(_WIDTH, 0), self.values.get(_LENGTH, 0)
        if self.values.get(_SUBFILE, 0) & _MASK or max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
            return 0
        return width * height

    @property
    def is_whole(self) -> bool:
        return not self.values.get(_SUBFILE, 0) & (_REDUCED | _MASK)


@dataclass(frozen=True, slots=True)
class TiffPage:
    """The page that is the picture: its number from 0, and `content`, the bytes to be opened.

    If `white_is_zero`, deep grey values count down from white. In `content` that entry is changed to the usual order,
    which Pillow reads for every layout of bytes, so the values have to be inverted afterwards.
    """

    content: bytes
    number: int = 0
    white_is_zero: bool = False
    note: str = ""


def chosen_page(content: bytes) -> TiffPage:
    """Return the largest page of a TIFF that is within the limits, the first of several; any other file as it is.

    Raises:
        NotAPicture: a page has more than `MAX_TIFF_PARTS` strips or tiles, or the directories are too large.
    """
    try:
        directories = list(_directories(content))
    except struct.error:
        return TiffPage(content)  # truncated; Pillow reports it
    if not directories:
        return TiffPage(content)
    number = max(range(len(directories)), key=lambda place: (directories[place].pixels, -place))
    page = directories[number]
    whole = sum(directory.is_whole for directory in directories)
    note = f"The file has {whole:,} pages; the largest, page {number + 1:,}, was taken." if whole > 1 else ""
    values = page.values
    deep = values.get(_BITS, 1) > 8 and values.get(_SAMPLES, 1) == 1
    inverted = deep and values.get(_PHOTOMETRIC) == 0 and _PHOTOMETRIC in page.places
    if inverted:
        place, form = page.places[_PHOTOMETRIC]
        one = struct.pack(form, 1)
        content = content[:place] + one + content[place + len(one) :]
    return TiffPage(content, number, inverted, note)


def _directories(content: bytes) -> Iterator[_Directory]:
    order = {b"II": "<", b"MM": ">"}.get(content[:2])
    if order is None or content[2:4] not in (b"*\0", b"\0*", b"+\0", b"\0+"):
        return
    big = b"+" in content[2:4]
    pointer, number, entry = (
        struct.Struct(order + kinds) for kinds in (("Q", "Q", "HHQ8s") if big else ("I", "H", "HHI4s"))
    )
    (place,) = pointer.unpack_from(content, 8 if big else 4)
    seen: set[int] = set()
    entries = size = 0
    while place and place not in seen and len(seen) < MAX_TIFF_PAGES:
        seen.add(place)
        try:
            (count,) = number.unpack_from(content, place)
            entries += count
            if entries > MAX_TIFF_ENTRIES and len(seen) > 1:
                return
            directory = _Directory({}, {})
            start = place + number.size
            for index in range(min(count, 65_535)):
                at = start + index * entry.size
                tag, kind, values, held = entry.unpack_from(content, at)
                if tag in _PART_TAGS and values > MAX_TIFF_PARTS:
                    raise NotAPicture(
                        f"The picture is in too many parts ({values:,}); at most {MAX_TIFF_PARTS:,} are read."
                    )
                size += values * _TYPE_BYTES.get(kind, 0)
                if kind in _INLINE and values == 1:
                    form = order + _INLINE[kind]
                    (directory.values[tag],) = struct.unpack_from(form, held)
                    directory.places[tag] = at + entry.size - len(held), form
            (place,) = pointer.unpack_from(content, start + count * entry.size)
        except struct.error:
            if len(seen) == 1:
                raise
            return  # the pages before are whole
        if size > MAX_ENTRY_BYTES:
            raise NotAPicture("The picture's description is larger than any picture's; the file is damaged.")
        yield directory

"""Facts from IPTC-IIM, the block of captions and keywords that agencies and older programs write."""

from __future__ import annotations

from datetime import datetime

from lookalike.data.pictures.exif_facts import exif_time
from lookalike.data.pictures.picture_facts import PictureFacts, clean_list, clean_text

__all__ = ["iptc_facts"]

_MARK = 0x1C
_HEADER_BYTES = 5
_MAX_SETS = 2_000
_ENCODING = (1, 90)
_UTF8 = b"\x1b%G"
_TITLE, _KEYWORD, _HEADLINE, _CAPTION, _DATE, _TIME = 5, 25, 105, 120, 55, 60


def iptc_facts(block: bytes) -> PictureFacts:
    """Return the facts of an IPTC block. A damaged block has the facts before the damage."""
    sets: dict[tuple[int, int], list[bytes]] = {}
    position = count = 0
    while position + _HEADER_BYTES <= len(block) and block[position] == _MARK and count < _MAX_SETS:
        size = int.from_bytes(block[position + 3 : position + 5], "big")
        start = position + _HEADER_BYTES
        if size & 0x8000 or start + size > len(block):
            break
        sets.setdefault((block[position + 1], block[position + 2]), []).append(block[start : start + size])
        position, count = start + size, count + 1
    is_utf8 = _UTF8 in sets.get(_ENCODING, ())

    def texts(number: int) -> list[str]:
        return [_decoded(value, is_utf8=is_utf8) for value in sets.get((2, number), ())]

    def text(number: int) -> str | None:
        return next((found for one in texts(number) if (found := clean_text(one)) is not None), None)

    return PictureFacts(
        title=text(_TITLE) or text(_HEADLINE),
        caption=text(_CAPTION),
        captured=_time(texts(_DATE), texts(_TIME)),
        keywords=clean_list(texts(_KEYWORD)),
    )


def _decoded(value: bytes, *, is_utf8: bool) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("utf-8" if is_utf8 else "cp1252", "replace")


def _time(dates: list[str], times: list[str]) -> datetime | None:
    """Return the time of a date such as "20190704" and a time such as "153012+0200"."""
    if not dates:
        return None
    date, clock = dates[0], (times[0] if times else "") or "000000"
    written = f"{date[:4]}:{date[4:6]}:{date[6:8]} {clock[:2]}:{clock[2:4]}:{clock[4:6]}"
    return exif_time(written, clock[6:])

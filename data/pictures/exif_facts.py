"""Facts from EXIF: when, where and with which camera a picture was taken."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

from PIL import ExifTags, Image

from lookalike.data.pictures.picture_facts import PictureFacts, clean_list, clean_text, place_of

__all__ = ["camera_name", "exif_facts", "exif_time"]

_Base = ExifTags.Base
_XP_TITLE, _XP_COMMENT, _XP_KEYWORDS = 0x9C9B, 0x9C9C, 0x9C9E
_RATING = 0x4746
_MAX_RATING = 5
_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE = 1, 2, 3, 4
_TIME = re.compile(r"(\d{4})[:\-/.](\d\d)[:\-/.](\d\d)[ T](\d\d):(\d\d)(?::(\d\d))?")
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)|(Z)")
_MAX_OFFSET = timedelta(hours=14)
_BODY = re.compile(
    r"\s+(corporation|corp\.?|co\.,? ?ltd\.?|company|inc\.?|(imaging|optical) co\w*\.?(,? ?ltd\.?)?|techwin)",
    re.IGNORECASE,
)


def exif_facts(exif: Image.Exif) -> PictureFacts:
    """Return the facts of a picture's EXIF."""
    inner = exif.get_ifd(ExifTags.IFD.Exif)
    place = _place(exif.get_ifd(ExifTags.IFD.GPSInfo))
    captured = None
    for time_tag, offset_tag, tags in (
        (_Base.DateTimeOriginal, _Base.OffsetTimeOriginal, inner),
        (_Base.DateTimeDigitized, _Base.OffsetTimeDigitized, inner),
    ):
        captured = captured or exif_time(tags.get(time_tag), inner.get(offset_tag) or inner.get(_Base.OffsetTime))
    rating = exif.get(_RATING)
    return PictureFacts(
        title=_windows_text(exif.get(_XP_TITLE)),
        caption=_text(exif.get(_Base.ImageDescription)) or _windows_text(exif.get(_XP_COMMENT)),
        captured=captured,
        camera=camera_name(_text(exif.get(_Base.Make)), _text(exif.get(_Base.Model))),
        lens=_text(inner.get(_Base.LensModel)),
        latitude=place and place[0],
        longitude=place and place[1],
        rating=rating if isinstance(rating, int) and 1 <= rating <= _MAX_RATING else None,
        keywords=clean_list((_windows_text(exif.get(_XP_KEYWORDS)) or "").split(";")),
    )


def exif_time(text: object, offset: object = None) -> datetime | None:
    """Return a time such as "2019:07:04 15:30:12"; `offset` is its distance from UTC, such as "+02:00"."""
    match = _TIME.match(text.strip()) if isinstance(text, str) else None
    if match is None:
        return None
    try:
        time = datetime(*(int(part or 0) for part in match.groups()))  # type: ignore[arg-type]
    except ValueError:  # 0000:00:00, or no such day
        return None
    zone = _OFFSET.fullmatch(offset.strip(" \0")) if isinstance(offset, str) else None
    if zone is None:
        return time
    sign, hours, minutes, _ = zone.groups()
    distance = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
    with contextlib.suppress(OverflowError, ValueError):
        if abs(distance) <= _MAX_OFFSET and 1 < time.year < 9999:
            return time.replace(tzinfo=timezone(distance))
    return time


def camera_name(make: str | None, model: str | None) -> str | None:
    """Return the name of a camera; the maker is left out where the model begins with it."""
    if model is None or make is None:
        return model
    maker = _BODY.sub("", make).strip()
    if model.lower().startswith(maker.split(" ")[0].lower()):
        return model
    return f"{maker.title() if maker.isupper() and len(maker) > 4 else maker} {model}"


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str) and not value.isascii():
        with contextlib.suppress(UnicodeError):
            value = value.encode("latin-1").decode("utf-8")  # Pillow reads ASCII fields as Latin-1
    return clean_text(value)


def _windows_text(value: object) -> str | None:
    if isinstance(value, tuple) and all(isinstance(one, int) and 0 <= one < 256 for one in value):
        value = bytes(value)
    return clean_text(value.decode("utf-16-le", "ignore")) if isinstance(value, bytes) else None


def _place(gps: Mapping[int, object]) -> tuple[float, float] | None:
    degrees = []
    for value_tag, ref_tag in ((_LATITUDE, _LATITUDE_REF), (_LONGITUDE, _LONGITUDE_REF)):
        parts = gps.get(value_tag)
        if not isinstance(parts, tuple) or len(parts) != 3:
            return None
        try:
            whole = sum(float(part) / 60**power for power, part in enumerate(parts))
        except (TypeError, ValueError, ArithmeticError):
            return None
        ref = gps.get(ref_tag)
        letter = ref.decode("latin-1") if isinstance(ref, bytes) else str(ref)
        degrees.append(-whole if letter[:1].upper() in ("S", "W") else whole)
    return place_of(*degrees)

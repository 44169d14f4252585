"""Facts from the JSON files that Google Takeout puts beside pictures."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson

from lookalike.data.pictures.picture_facts import MAX_METADATA_BYTES, PictureFacts, clean_list, clean_text, place_of

__all__ = ["takeout_facts"]

_MAX_SECONDS = 253_402_300_799
"""The last second of the year 9999."""


def takeout_facts(content: bytes) -> PictureFacts:
    """Return the facts of a JSON file of Google Takeout; any other content has no facts.

    Its `title` is the file name and is left out. A place of zeros stands for an unknown one.
    """
    if len(content) > MAX_METADATA_BYTES:
        return PictureFacts()
    try:
        facts = orjson.loads(content)
    except orjson.JSONDecodeError:
        return PictureFacts()
    if not isinstance(facts, dict):
        return PictureFacts()
    place = _place(facts.get("geoData")) or _place(facts.get("geoDataExif"))
    people = facts.get("people")
    named = [one.get("name") for one in people if isinstance(one, dict)] if isinstance(people, list) else []
    return PictureFacts(
        caption=clean_text(facts.get("description")),
        captured=_time(facts.get("photoTakenTime")),
        latitude=place and place[0],
        longitude=place and place[1],
        rating=5 if facts.get("favorited") is True else None,
        people=clean_list(named),
    )


def _time(value: object) -> datetime | None:
    try:
        seconds = int(value["timestamp"]) if isinstance(value, dict) else 0
    except (KeyError, TypeError, ValueError):
        return None
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds <= _MAX_SECONDS else None


def _place(value: object) -> tuple[float, float] | None:
    degrees = [value.get(name) for name in ("latitude", "longitude")] if isinstance(value, dict) else []
    numbers = [float(one) for one in degrees if isinstance(one, int | float)]
    return place_of(*numbers) if len(numbers) == 2 else None

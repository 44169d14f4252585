"""Items of picture files with the fields that their metadata and their size in pixels supply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from lookalike.data.feeds.file_names import is_camera_number
from lookalike.data.item import Item, Value
from lookalike.data.pictures.picture_facts import PictureFacts
from lookalike.retrieval.ingest.item_pictures import LoadedImage

__all__ = ["described"]

_MAX_TITLE = 200


def described(item: Item, loaded: Sequence[LoadedImage]) -> Item:
    """Return an item with the facts of its first picture as fields, or the item itself if no metadata was to be read.

    A title in the metadata takes the place of the file name in words, and a caption that of a missing title.
    """
    facts = loaded[0].facts if loaded else None
    if facts is None or loaded[0].failed:
        return item
    fields = {**item.fields, **_fields_of(facts, loaded[0])}
    return replace(item, title=_title_of(item, facts), fields=fields)


def _fields_of(facts: PictureFacts, image: LoadedImage) -> Mapping[str, Value]:
    shapes = {image.width > image.height: "landscape", image.width < image.height: "portrait"}
    found: dict[str, Value] = {
        "captured": facts.captured,
        "camera": facts.camera,
        "lens": facts.lens,
        "latitude": facts.latitude,
        "longitude": facts.longitude,
        "width": image.width,
        "height": image.height,
        "megapixels": max(round(image.width * image.height / 1e6, 1), 0.1),
        "orientation": shapes.get(True, "square"),
        "caption": facts.caption,
        "keywords": list(facts.keywords) or None,
        "rating": facts.rating,
        "people": list(facts.people) or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _title_of(item: Item, facts: PictureFacts) -> str | None:
    title = facts.title
    if title is not None and is_camera_number(PurePosixPath(title).stem):
        title = None
    if title is None and item.title is None and facts.caption is not None:
        title = facts.caption
    if title is not None and len(title) > _MAX_TITLE:
        title = title[: _MAX_TITLE - 1].rstrip() + "…"
    return title or item.title

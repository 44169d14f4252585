"""The rows of items, images and vectors that the records take and return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookalike.data.item import Json, Value
from lookalike.retrieval.vector_blobs import Stored

__all__ = [
    "Commit",
    "Ids",
    "ImageWrite",
    "ItemChange",
    "ItemRow",
    "ItemWrite",
    "StoredImage",
    "StoredItem",
    "VectorRows",
    "VectorWrites",
]

Ids: TypeAlias = NDArray[np.int64]
"""Ids or places of items, images or rows."""


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit: its number, its time in seconds since 1970 UTC, its summary, and how many items it changed.

    >>> commit = catalog.log()[0]
    >>> commit.summary, commit.added
    ('index products.csv', 8)
    """

    seq: int
    time: float
    summary: str
    added: int = 0
    updated: int = 0
    deleted: int = 0

    @property
    def when(self) -> datetime:
        """The time, in UTC.

        >>> catalog.log()[0].when.tzname()
        'UTC'
        """
        return datetime.fromtimestamp(self.time, UTC)


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One image of an item in the ledger: `source` as the feed named it, and the file's `sha256` (32 bytes)."""

    id: int
    source: str
    sha256: bytes
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One item as the catalogue returns it.

    >>> (item,) = catalog.get("tennis-shoes")
    >>> item.fields["colour"], [image.source for image in item.images]
    ('blue', ['pictures/tennis-shoes.webp', 'pictures/tennis-shoes-2.webp'])
    """

    key: str
    title: str | None
    fields: Mapping[str, Value]
    images: tuple[StoredImage, ...]


@dataclass(frozen=True, slots=True)
class ImageWrite:
    """One image of an item to be written: `kept` is the id of a stored image of the same bytes, or `vector` is new.

    `vector` is the row of the image space as bytes, and `looks` the row of the appearance space, if there is one.
    """

    source: str
    sha256: bytes
    width: int
    height: int
    vector: bytes | None = None
    kept: int | None = None
    looks: bytes | None = None


@dataclass(frozen=True, slots=True)
class ItemWrite:
    """One item to be inserted, or to replace the item with the same key.

    `fields` is JSON text. `images` are all its images in order, or None to keep the stored ones. `title_vector` is the
    row of the title space, None if there is none, or False to keep the stored one. `bare_vector` is the row of an item
    that has a vector but no picture.
    """

    key: str
    title: str | None
    fields: str
    images: Sequence[ImageWrite] | None = None
    title_vector: bytes | bool | None = None
    bare_vector: bytes | None = None


@dataclass(frozen=True, slots=True)
class VectorWrites:
    """Items that are vectors without pictures, to be inserted or to replace the items with the same keys.

    `fields` are JSON texts. `titles` is None if no item has one. `vectors` are [n, dim] of the image space, float16 or
    float32; each float32 row is stored in float16 if that holds it exactly.
    """

    keys: Sequence[str]
    titles: Sequence[str | None] | None
    fields: Sequence[str]
    vectors: Stored


@dataclass(frozen=True, slots=True)
class ItemChange:
    """A change of a stored item; everything else stays.

    `fields` are stored values by name, where None removes a field. A `title` of False keeps the title, and a
    `title_vector` of False keeps the row of the title space.
    """

    fields: Mapping[str, Json] = field(default_factory=dict)
    title: str | Literal[False] | None = False
    title_vector: bytes | Literal[False] | None = False


class ItemRow(NamedTuple):
    """The current state of one item. `fields` is JSON text."""

    id: int
    key: str
    title: str | None
    fields: str


@dataclass(frozen=True, slots=True)
class VectorRows:
    """Vectors of one space, float16 [n, dim], and the ids they belong to, int64 [n]; image id 0 is none.

    The vectors are float32 if any of them is stored as float32.
    """

    ids: NDArray[np.int64]
    item_ids: NDArray[np.int64]
    image_ids: NDArray[np.int64]
    vectors: Stored

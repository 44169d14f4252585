"""What goes into the records and what comes out: rows of items, images and vectors."""

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
    """One commit: its number, its time in seconds since 1970 UTC, what it was, and how many items it changed."""

    seq: int
    time: float
    summary: str
    added: int = 0
    updated: int = 0
    deleted: int = 0

    @property
    def when(self) -> datetime:
        """The time, in UTC."""
        return datetime.fromtimestamp(self.time, UTC)


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One image of an item as the ledger has it: `source` as the feed named it, `sha256` of the file (32 bytes)."""

    id: int
    source: str
    sha256: bytes
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One item as the catalogue has it."""

    key: str
    title: str | None
    fields: Mapping[str, Value]
    images: tuple[StoredImage, ...]


@dataclass(frozen=True, slots=True)
class ImageWrite:
    """One image of an item to be written; `kept` is the id of a stored image of the same bytes, else `vector` is new.

    `vector` is the float16 row of the image space, as bytes, and `looks` that of the space for looks, if there is one.
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
    """One item to be inserted, or to take the place of the item of the same key.

    `fields` is JSON text. `images` are all its images in order; None leaves those that are stored. `title_vector` is
    the row of the title space, None when there is none, False to leave the stored one. `bare_vector` is the row of an
    item that has a vector and no picture.
    """

    key: str
    title: str | None
    fields: str
    images: Sequence[ImageWrite] | None = None
    title_vector: bytes | bool | None = None
    bare_vector: bytes | None = None


@dataclass(frozen=True, slots=True)
class VectorWrites:
    """Items that are a vector and no picture, to be inserted or to take the place of the items of the same keys.

    `fields` are JSON texts, `titles` None where no item has one, `vectors` [n, dim] of the image space: float16,
    or float32, of which each row is stored in float16 if that holds it.
    """

    keys: Sequence[str]
    titles: Sequence[str | None] | None
    fields: Sequence[str]
    vectors: Stored


@dataclass(frozen=True, slots=True)
class ItemChange:
    """What changes of a stored item; the rest stays.

    `fields` are stored values by name, None taking a field away. `title` False leaves the title, and `title_vector`
    False the row of the title space.
    """

    fields: Mapping[str, Json] = field(default_factory=dict)
    title: str | Literal[False] | None = False
    title_vector: bytes | Literal[False] | None = False


class ItemRow(NamedTuple):
    """The current state of one item; `fields` is JSON text."""

    id: int
    key: str
    title: str | None
    fields: str


@dataclass(frozen=True, slots=True)
class VectorRows:
    """Vectors of one space, float16 [n, dim], and what they belong to, int64 [n]; image id 0 is none.

    The vectors are float32 if one of them is stored so.
    """

    ids: NDArray[np.int64]
    item_ids: NDArray[np.int64]
    image_ids: NDArray[np.int64]
    vectors: Stored

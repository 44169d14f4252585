"""Checksums that detect rows of the records that are not as written, where SQLite itself notices nothing.

A vector's checksum is the sum of its words and of the ids it belongs to. It costs almost nothing and is compared
whenever vectors are read. An item's is a CRC-32 of its id, key, title and fields, compared by `verify`. A checksum is
never 0, which stands for none.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lookalike.retrieval.vector_blobs import Stored

__all__ = ["of_blobs", "of_item", "of_items", "of_vector", "of_vectors"]

_OF_ITEM, _OF_IMAGE = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)


def of_vectors(
    item_ids: NDArray[np.int64], image_ids: NDArray[np.int64], vectors: Stored | NDArray[np.uint16]
) -> NDArray[np.int64]:
    """Return the checksums, int64 [n], of stored vectors, [n, dim], and their items and images (0: no image)."""
    rows = np.ascontiguousarray(vectors).view(np.uint16)
    words = rows.view(np.uint64) if rows.shape[1] % 4 == 0 else rows
    sums = words.sum(axis=1, dtype=np.uint64)
    sums += item_ids.astype(np.uint64) * _OF_ITEM + image_ids.astype(np.uint64) * _OF_IMAGE
    found: NDArray[np.int64] = np.maximum(sums, 1).view(np.int64)
    return found


def of_vector(item_id: int, image_id: int | None, vector: bytes) -> int:
    """Return the checksum of one vector, given as bytes."""
    row = np.frombuffer(vector, dtype=np.uint16)[np.newaxis]
    return int(of_vectors(np.array([item_id]), np.array([image_id or 0]), row)[0])


def of_blobs(item_ids: NDArray[np.int64], image_ids: NDArray[np.int64], blobs: Sequence[bytes]) -> NDArray[np.int64]:
    """Return the checksums of vectors given as bytes, of one length or of several; int64 [n]."""
    lengths = np.fromiter(map(len, blobs), dtype=np.int64, count=len(blobs))
    sums = np.empty(len(blobs), dtype=np.int64)
    for length in np.unique(lengths).tolist():
        here = np.flatnonzero(lengths == length)
        some = blobs if len(here) == len(blobs) else [blobs[place] for place in here.tolist()]
        rows = np.frombuffer(b"".join(some), dtype=np.uint16).reshape(len(here), -1)
        sums[here] = of_vectors(item_ids[here], image_ids[here], rows)
    return sums


def of_items(
    ids: Iterable[int], keys: Iterable[str], titles: Iterable[str | None], fields: Iterable[str]
) -> Iterator[int]:
    """Yield the checksums of items."""
    return map(of_item, ids, keys, titles, fields)


def of_item(id_: int, key: str, title: str | None, fields: str) -> int:
    """Return the checksum of one item."""
    text = f"{id_}\0{key}\0{fields}" if title is None else f"{id_}\0{key}\0{title}\0{fields}"
    return zlib.crc32(text.encode()) or 1

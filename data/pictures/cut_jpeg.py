"""JPEG files without their end, as broken transfers leave them.

The rule: a JPEG that is cut short is accepted, with a note, if at least seven eighths of its blocks are there. Of a
progressive JPEG, whose passes each cover the whole picture, the first pass for every colour has to be there.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.data.errors import NotAPicture
from lookalike.data.pictures.bounds import check_size, needed_bytes, scans_of
from lookalike.data.pictures.decode_memory import decode_memory

__all__ = ["MIN_SHARE", "CompletedJpeg", "completed_jpeg", "is_padded"]

MIN_SHARE = 7 / 8
"""Smallest share of a JPEG's blocks with which it is accepted."""

_START, _END = b"\xff\xd8\xff", b"\xff\xd9"
_SCAN = b"\xff\xda"
_SEGMENTS = (b"\xff\xc4", _SCAN, b"\xff\xdd")
_PADDING = bytes(16)
_FILLER = bytes(1 + number * 37 % 251 for number in range(256))
"""Bytes that decode to something else than the even grey that decoders put in place of missing blocks."""


@dataclass(frozen=True, slots=True)
class CompletedJpeg:
    """A JPEG that was cut short, with an end marker so that it can be decoded, and a note about it."""

    content: bytes
    note: str


def is_padded(content: bytes) -> bool:
    """Return whether a file is a JPEG that ends in zeros, as if it was given its length before it was filled.

    Decoders take those zeros for blocks, and report nothing.
    """
    return content.startswith(_START) and content.endswith(_PADDING)


def completed_jpeg(content: bytes) -> CompletedJpeg | None:
    """Return a JPEG that was cut short with an end marker, or None if the file is no JPEG or has its end.

    Raises:
        NotAPicture: too little of it is there, or it is larger than the limits.
        OSError: it cannot be decoded for another reason.
    """
    if not content.startswith(_START) or content.rfind(_END) > content.rfind(_SCAN):
        return None
    if is_padded(content):
        content = content.rstrip(b"\0")
    content = _up_to_segment(content).rstrip(b"\xff")
    completed = content + _END
    if _has_first_passes(completed):
        return CompletedJpeg(completed, "The file is cut short; the picture may lack detail.")
    share = _share_there(_blocks(completed), _blocks(content + _FILLER + _END))
    if share < MIN_SHARE:
        raise NotAPicture(
            f"The picture is damaged or truncated: {share:.0%} of it is there, and at least {MIN_SHARE:.0%} is needed."
        )
    there = "all of the picture" if share == 1 else f"{int(share * 100)}% of the picture"
    return CompletedJpeg(completed, f"The file is cut short; {there} is there.")


def _up_to_segment(content: bytes) -> bytes:
    """Return a JPEG without the table or header that it ends in the middle of."""
    last = max(content.rfind(marker) for marker in _SEGMENTS)
    length = int.from_bytes(content[last + 2 : last + 4])
    return content[:last] if len(content) < last + 2 + max(length, 2) else content


def _has_first_passes(content: bytes) -> bool:
    with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
        return "progressive" in image.info and scans_of(image, content) > len(image.getbands())


def _blocks(content: bytes) -> NDArray[np.uint8]:
    """Return a JPEG at an eighth of its scale, a pixel for each block: uint8 of shape [rows, columns, channels]."""
    with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
        size = image.size
        check_size(*size)
        scans = scans_of(image, content)
        image.draft(None, (1, 1))
        with decode_memory.reserve(needed_bytes(image, size, scans)):
            image.load()
            return np.atleast_3d(np.asarray(image))


def _share_there(blocks: NDArray[np.uint8], filled: NDArray[np.uint8]) -> float:
    """Return the share of blocks before the first that depends on what follows the end of the file."""
    differs = (blocks != filled).any(axis=2)
    if not differs.any():
        return 1.0
    row = int(differs.any(axis=1).argmax())
    column = int(differs[row : row + 2].any(axis=0).argmax())
    height, width = differs.shape
    return float(min(1.0, (row + column / width) / height))

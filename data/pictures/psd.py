"""Photoshop files (PSD), of which the composite is the picture: all layers together, as Photoshop saves them."""

from __future__ import annotations

import struct

__all__ = ["is_psd", "shows_transparency"]

_SIGNATURE = b"8BPS\0\1"
_HEADER_BYTES = 26


def is_psd(content: bytes) -> bool:
    """Return whether a file is a Photoshop file."""
    return content.startswith(_SIGNATURE)


def shows_transparency(content: bytes) -> bool:
    """Return whether the fourth channel of an RGB composite is its transparency, and not a saved selection.

    Photoshop says so by a negative number of layers.
    """
    place = _HEADER_BYTES
    try:
        for _ in ("palette", "resources"):
            (length,) = struct.unpack_from(">I", content, place)
            place += 4 + length
        section, layers, count = struct.unpack_from(">IIh", content, place)
    except struct.error:
        return False
    return bool(section and layers and count < 0)

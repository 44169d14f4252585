"""Recognition of pictures that show nothing: of a single colour, or fully transparent."""

from __future__ import annotations

from itertools import product

from PIL import Image

__all__ = ["SINGLE_COLOUR", "TRANSPARENT", "is_single_coloured"]

SINGLE_COLOUR = "The picture is of a single colour; it may be a placeholder."
TRANSPARENT = "The picture is fully transparent; it may be a placeholder."

_TOLERANCE = 2
_PARTS = 4
_POINTS = sorted(product(range(_PARTS + 1), repeat=2), key=lambda point: sum(abs(2 * one - _PARTS) for one in point))
"""Points of a grid, from the middle outwards: many pictures have an even margin."""


def is_single_coloured(rgb: Image.Image) -> bool:
    """Return whether all pixels of an RGB image have nearly the same colour.

    Some points are looked at first, so that other pictures cost nothing.
    """
    pixels = rgb.load()
    if pixels is None:
        return False
    right, bottom = rgb.width - 1, rgb.height - 1
    first = pixels[0, 0]
    for across, down in _POINTS:
        other = pixels[right * across // _PARTS, bottom * down // _PARTS]
        if isinstance(first, tuple) and isinstance(other, tuple):
            for one, another in zip(first, other, strict=True):
                if abs(one - another) > _TOLERANCE:
                    return False
    extrema = [band for band in rgb.getextrema() if isinstance(band, tuple)]
    return all(high - low <= _TOLERANCE for low, high in extrema)

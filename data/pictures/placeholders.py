"""Recognition of pictures that show nothing: of a single colour, or fully transparent."""

from __future__ import annotations

from PIL import Image

__all__ = ["SINGLE_COLOUR", "TRANSPARENT", "is_single_coloured"]

SINGLE_COLOUR = "The picture is of a single colour; it may be a placeholder."
TRANSPARENT = "The picture is fully transparent; it may be a placeholder."

_TOLERANCE = 2
_POINTS = 5


def is_single_coloured(rgb: Image.Image) -> bool:
    """Return whether all pixels of an RGB image have nearly the same colour.

    Some points are looked at first, so that other pictures cost nothing.
    """
    columns, rows = ([(side - 1) * part // (_POINTS - 1) for part in range(_POINTS)] for side in rgb.size)
    pixels = [rgb.getpixel((column, row)) for row in rows for column in columns]
    bands = zip(*(pixel for pixel in pixels if isinstance(pixel, tuple)), strict=True)
    if any(max(band) - min(band) > _TOLERANCE for band in bands):
        return False
    extrema = [band for band in rgb.getextrema() if isinstance(band, tuple)]
    return all(high - low <= _TOLERANCE for low, high in extrema)

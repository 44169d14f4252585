"""The colour of a drawing: of eleven names, the one that describes most of its area.

Colours are classified by hue, lightness and chroma in OKLab (Björn Ottosson, 2020), in which equal distances look about
equally large. The white around a drawing does not count, and black, white and grey count less than a hue, because most
drawings have black outlines and nobody calls a tomato black.

`lookalike.models.compact.colours` divides a picture's area among the same names, for vectors, and counts outlines
fully. By its largest share, 157 of the 510 sample items would have another colour, so the two are not interchangeable.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

__all__ = ["COLOURS", "dominant_colour", "oklab"]

COLOURS = ("black", "grey", "white", "red", "orange", "brown", "yellow", "green", "blue", "purple", "pink")

_OUTSIDE = (255, 0, 254)
_OUTSIDE_TOLERANCE = 16
_NEUTRAL_WEIGHT = 0.35
_NEUTRAL_CHROMA = 0.035
_LMS = np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                 [0.0883024619, 0.2817188376, 0.6299787005]])  # fmt: skip
_LAB = np.array([[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
                 [0.0259040371, 0.7827717662, -0.8086757660]])  # fmt: skip


def dominant_colour(picture: Image.Image) -> str:
    """Return the name in `COLOURS` that covers most of a picture on white, whose top left pixel is background."""
    inside = _inside(picture.convert("RGB"))
    if not len(inside):
        return "white"
    lightness, chroma, hue = _lightness_chroma_hue(oklab(inside))
    names = _name_indices(lightness, chroma, hue)
    weights = np.where(chroma < _NEUTRAL_CHROMA, _NEUTRAL_WEIGHT, 1.0)
    votes = np.bincount(names, weights=weights, minlength=len(COLOURS))
    return COLOURS[int(np.argmax(votes))]


def oklab(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Convert uint8 sRGB [n, 3] to OKLab [n, 3]: lightness from 0 to 1, green to red, blue to yellow."""
    channels = rgb.astype(np.float64) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    lab: NDArray[np.float64] = np.cbrt(linear @ _LMS.T) @ _LAB.T
    return lab


def _inside(picture: Image.Image) -> NDArray[np.uint8]:
    """Return the colours, uint8 [n, 3], of all pixels except the white around the drawing."""
    marked = picture.copy()
    ImageDraw.floodfill(marked, (0, 0), _OUTSIDE, thresh=_OUTSIDE_TOLERANCE)
    outside = (np.asarray(marked) == np.array(_OUTSIDE, dtype=np.uint8)).all(axis=2)
    inside: NDArray[np.uint8] = np.asarray(picture)[~outside]
    return inside


def _lightness_chroma_hue(
    lab: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return lightness, chroma, and hue in degrees (0 to 360), each [n], of OKLab coordinates [n, 3]."""
    hue = np.degrees(np.arctan2(lab[:, 2], lab[:, 1])) % 360
    return lab[:, 0], np.hypot(lab[:, 1], lab[:, 2]), hue


def _name_indices(
    lightness: NDArray[np.float64], chroma: NDArray[np.float64], hue: NDArray[np.float64]
) -> NDArray[np.intp]:
    """Return the index in `COLOURS` of each colour, [n]; the first rule that applies decides."""
    rules = [
        (lightness < 0.22, "black"),
        ((chroma < _NEUTRAL_CHROMA) & (lightness < 0.40), "black"),
        ((chroma < _NEUTRAL_CHROMA) & (lightness < 0.93), "grey"),
        (chroma < _NEUTRAL_CHROMA, "white"),
        ((hue >= 15) & (hue < 48) & (lightness >= 0.78), "pink"),
        ((hue >= 15) & (hue < 22) & (lightness >= 0.66), "pink"),
        ((hue >= 33) & (hue < 100) & ((lightness < 0.64) | (chroma < 0.09)), "brown"),
        ((hue >= 15) & (hue < 42), "red"),
        ((hue >= 42) & (hue < 82), "orange"),
        ((hue >= 82) & (hue < 116) & ((lightness >= 0.66) | (hue < 100)), "yellow"),
        ((hue >= 82) & (hue < 185), "green"),
        ((hue >= 185) & (hue < 285), "blue"),
        ((hue >= 285) & (hue < 335) & (lightness < 0.78), "purple"),
        (lightness >= 0.64, "pink"),
        ((hue >= 335) | (hue < 15), "red"),
    ]
    indices = [COLOURS.index(name) for _, name in rules]
    return np.select([applies for applies, _ in rules], indices, default=COLOURS.index("purple")).astype(np.intp)

"""The eleven basic colours: the share of each in a picture, and which of them a text names.

The networks of `compact` hardly distinguish a red shoe from a blue one, but people ask for red shoes. The eleven names
are those of every language that has as many basic colour terms (Berlin and Kay, 1969, "Basic Color Terms"). Using them
for retrieval follows van de Weijer et al., 2009, "Learning Color Names for Real-World Applications", but nothing is
learned here: each name has a few typical colours, and a pixel belongs to the names with typical colours near it in CIE
L*a*b*.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lookalike.models.vectors import Matrix

__all__ = ["COLOUR_LEVELS", "COLOUR_NAMES", "colour_memberships", "text_colours"]

_TYPICAL = {
    "black": "000000 202020",
    "blue": "0000ff 000080 4169e1 1e90ff 87ceeb 4682b4 00008b add8e6 00bfff",
    "brown": "8b4513 a0522d 654321 d2b48c cd853f 5c4033",
    "green": "008000 00ff00 006400 90ee90 228b22 808000 32cd32 556b2f 98fb98 2e8b57 9acd32",
    "grey": "808080 a0a0a0 c0c0c0 606060 404040",
    "orange": "ffa500 ff8c00 ff7f00 ffb347",
    "pink": "ffc0cb ff69b4 ff1493 ffb6c1 ff00ff",
    "purple": "800080 9400d3 4b0082 9370db 8a2be2 dda0dd",
    "red": "ff0000 8b0000 dc143c b22222 cd5c5c",
    "white": "ffffff f5f5f5",
    "yellow": "ffff00 ffd700 f0e68c fff176 ffdb58",
}
"""Typical colours of each name in hexadecimal sRGB: CSS colours assigned by hand, and a few in between."""

COLOUR_NAMES = tuple(_TYPICAL)

_SYNONYMS = {
    "beige": "brown",
    "crimson": "red",
    "cyan": "blue",
    "gold": "yellow",
    "golden": "yellow",
    "gray": "grey",
    "magenta": "pink",
    "navy": "blue",
    "scarlet": "red",
    "silver": "grey",
    "turquoise": "blue",
    "violet": "purple",
}
_UNCOLOURED = re.compile(r"\b(?:b\s?(?:and|&|/)?\s?w|black (?:and|&) white)\b")
_WORD = re.compile(r"[a-z]+")

COLOUR_LEVELS = 16
"""Steps of each of red, green and blue by which `colour_memberships` tells colours apart."""

_NEARNESS = 10.0  # in units of L*a*b*, in which 2 is barely noticeable


def text_colours(texts: Sequence[str]) -> Matrix:
    """Return the colours that texts name: float32 [n, 11], 1 for each of them; "b/w" names black, grey and white."""
    named = np.zeros((len(texts), len(COLOUR_NAMES)), dtype=np.float32)
    for row, text in zip(named, texts, strict=True):
        rest, uncoloured = _UNCOLOURED.subn(" ", text.lower())
        names = {_SYNONYMS.get(word, word) for word in _WORD.findall(rest)}
        names.update(("black", "grey", "white") if uncoloured else ())
        row[[index for index, name in enumerate(COLOUR_NAMES) if name in names]] = 1
    return named


@lru_cache(maxsize=1)
def colour_memberships() -> Matrix:
    """Return how much each of 16 x 16 x 16 RGB cells belongs to each name: float32 [4096, 11], rows with sum 1."""
    steps = np.arange(COLOUR_LEVELS) * 17.0
    cells = _lab(np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3))
    nearness = np.empty((len(cells), len(COLOUR_NAMES)))
    for column, codes in enumerate(_TYPICAL.values()):
        typical = _lab(np.array([list(bytes.fromhex(code)) for code in codes.split()], dtype=np.float64))
        squares = np.square(cells[:, None] - typical[None]).sum(axis=2).min(axis=1)
        nearness[:, column] = -squares / (2 * _NEARNESS**2)
    memberships = np.exp(nearness - nearness.max(axis=1, keepdims=True))
    return np.asarray(memberships / memberships.sum(axis=1, keepdims=True), dtype=np.float32)


def _lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert sRGB from 0 to 255, shape [n, 3], to CIE L*a*b* for daylight (D65), shape [n, 3]."""
    scaled = rgb / 255
    linear = np.where(scaled > 0.04045, ((scaled + 0.055) / 1.055) ** 2.4, scaled / 12.92)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = (linear @ to_xyz.T / np.array([0.9505, 1.0, 1.089])).T
    x, y, z = (np.where(part > 0.008856, np.cbrt(part), 7.787 * part + 16 / 116) for part in (x, y, z))
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)

"""From the vectors of the text network of `compact` to the rows of texts in the space of pictures.

These functions use NumPy alone, so that a first search by words does not wait for torch to be imported.
`picture_rows.py` describes the two bridges between pictures and texts that the semantic part joins.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lookalike.models.compact.colours import text_colours
from lookalike.models.compact.figures import ClassFigures, CompactFigures
from lookalike.models.vectors import Matrix, unit_rows

__all__ = [
    "COLOUR_OF_TEXT",
    "COLOUR_SHARE",
    "SEMANTIC_SHARE",
    "VISUAL_SHARE",
    "text_classes",
    "text_rows",
    "text_semantics",
    "text_words",
]

VISUAL_SHARE, SEMANTIC_SHARE, COLOUR_SHARE = 0.7, 0.2, 0.1
"""Share of each part in a picture's score with itself; they add up to 1."""

COLOUR_OF_TEXT = 0.3
"""Weight of a named colour relative to the rest of a text, before the shares above are applied."""

TEXT_TEMPERATURE = 0.06
CLASS_SHARE_OF_TEXT = 0.5


def text_rows(texts: Sequence[str], vectors: Matrix, figures: CompactFigures[Matrix], dim: int) -> Matrix:
    """Return the rows of texts in the space of pictures, float32 [n, dim], not normalised; `vectors` are [n, 384]."""
    semantic = text_semantics(vectors, figures)
    colour = unit_rows(text_colours(texts)) * np.float32(COLOUR_OF_TEXT * (SEMANTIC_SHARE / COLOUR_SHARE) ** 0.5)
    visual = np.zeros((len(texts), dim - semantic.shape[1] - colour.shape[1]), np.float32)
    return np.concatenate([visual, semantic, colour], axis=1)


def text_semantics(vectors: Matrix, figures: CompactFigures[Matrix]) -> Matrix:
    """Map text vectors [n, 384] to the space of `picture_semantics`, [n, 245]."""
    both = np.concatenate([text_classes(vectors, figures), text_words(vectors, figures)], axis=1)
    return unit_rows(both @ figures.text_joint)


def text_classes(vectors: Matrix, figures: ClassFigures[Matrix]) -> Matrix:
    """Map text vectors [n, 384] to the space of the classes, [n, 245]; half is the text, half the classes near it."""
    own = unit_rows(_centred(vectors, figures) @ figures.text_projection)
    nearness = own @ unit_rows(figures.class_rows).T / np.float32(TEXT_TEMPERATURE)
    shares = np.exp(nearness - nearness.max(axis=1, keepdims=True, initial=-np.inf))
    classes = unit_rows(shares @ figures.class_rows)
    return unit_rows(own * (1 - CLASS_SHARE_OF_TEXT) + classes * CLASS_SHARE_OF_TEXT)


def text_words(vectors: Matrix, figures: CompactFigures[Matrix]) -> Matrix:
    """Map text vectors [n, 384] to the space of `drawing_words`, [n, 192]."""
    return unit_rows(_centred(vectors, figures) @ figures.word_projection)


def _centred(vectors: Matrix, figures: ClassFigures[Matrix]) -> Matrix:
    return unit_rows(vectors) - figures.text_mean

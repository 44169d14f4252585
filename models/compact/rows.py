"""From what the networks of `compact` see and read to the visual and the semantic part of a row.

The semantic part joins two bridges between pictures and texts, which fail on different things:

- classes: a picture is the combination of the ImageNet classes it resembles (ConSE: Norouzi et al., 2014,
  arXiv:1312.5650).
- drawings: a picture is the combination of the captioned pictures it resembles, weighted by kernel ridge regression
  (Saunders et al., 1998). Only this head was trained, on frozen networks (LiT: Zhai et al., 2022, arXiv:2111.07991).

`models/training/head.py` trains it. Every part returned here has rows of unit length.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lookalike.models.compact.efficientnet_lite import Sight
from lookalike.models.compact.figures import ClassFigures, CompactFigures

__all__ = [
    "drawing_words",
    "picture_classes",
    "picture_semantics",
    "resemblance",
    "text_classes",
    "text_semantics",
    "text_words",
    "visual_inputs",
    "visual_part",
]

SHARPNESS = 4.0
PICTURE_TEMPERATURE = 2.0
TEXT_TEMPERATURE = 0.06
CLASS_SHARE_OF_TEXT = 0.5


def visual_inputs(sight: Sight) -> Tensor:
    """Join what the visual part is projected from, shape [n, 1512]: three depths, the last evened out by a root."""
    return torch.cat([sight.features.clamp(min=0).sqrt(), sight.middle, sight.early], dim=1)


def visual_part(sight: Sight, figures: ClassFigures) -> Tensor:
    """Give what a picture looks like, shape [n, 256]."""
    return functional.normalize((visual_inputs(sight) - figures.visual_mean) @ figures.visual_projection)


def picture_classes(scores: Tensor, figures: ClassFigures) -> Tensor:
    """Say what a picture shows by the ImageNet classes it resembles, shape [n, 245], from scores [n, 1000]."""
    shares = ((scores - figures.neutral_scores) / PICTURE_TEMPERATURE).softmax(dim=1)
    return functional.normalize(shares @ figures.class_rows)


def text_classes(vectors: Tensor, figures: ClassFigures) -> Tensor:
    """Bring text vectors [n, 384] among the classes, shape [n, 245]: their own, and in equal measure what is near."""
    own = functional.normalize(_centred(vectors, figures) @ figures.text_projection)
    shares = (own @ functional.normalize(figures.class_rows).T / TEXT_TEMPERATURE).softmax(dim=1)
    classes = functional.normalize(shares @ figures.class_rows)
    return functional.normalize(own * (1 - CLASS_SHARE_OF_TEXT) + classes * CLASS_SHARE_OF_TEXT)


def resemblance(visual: Tensor, drawing_rows: Tensor) -> Tensor:
    """Say how much pictures [n, 256] look like drawings [m, 256], shape [n, m]: a Gaussian of the distance."""
    return (SHARPNESS * (visual @ drawing_rows.T - 1)).exp()


def drawing_words(visual: Tensor, figures: CompactFigures) -> Tensor:
    """Say what a picture shows by the captions of the drawings it looks like, shape [n, 192]."""
    words = resemblance(visual, figures.drawing_rows) @ figures.drawing_words
    return functional.normalize(words - figures.drawing_offset)


def text_words(vectors: Tensor, figures: CompactFigures) -> Tensor:
    """Bring text vectors [n, 384] to where `drawing_words` says what pictures show, shape [n, 192]."""
    return functional.normalize(_centred(vectors, figures) @ figures.word_projection)


def picture_semantics(scores: Tensor, visual: Tensor, figures: CompactFigures) -> Tensor:
    """Say what a picture shows, by both bridges in equal measure, shape [n, 245]."""
    both = torch.cat([picture_classes(scores, figures), drawing_words(visual, figures)], dim=1)
    return functional.normalize(both @ figures.picture_joint)


def text_semantics(vectors: Tensor, figures: CompactFigures) -> Tensor:
    """Bring text vectors [n, 384] to where `picture_semantics` says what pictures show, shape [n, 245]."""
    both = torch.cat([text_classes(vectors, figures), text_words(vectors, figures)], dim=1)
    return functional.normalize(both @ figures.text_joint)


def _centred(vectors: Tensor, figures: ClassFigures) -> Tensor:
    return functional.normalize(vectors) - figures.text_mean

"""From the outputs of the networks of `compact` to the visual and semantic parts of a row.

The semantic part joins two bridges between pictures and texts, which fail in different cases:

- classes: a picture is a weighted sum of the ImageNet classes it resembles (ConSE: Norouzi et al., 2014,
  arXiv:1312.5650).
- drawings: a picture is a weighted sum of the captioned pictures it resembles, by kernel ridge regression (Saunders et
  al., 1998). This head is the only trained part; the networks stay frozen (LiT: Zhai et al., 2022, arXiv:2111.07991).

`models/training/head.py` trains it. All parts returned here have rows of unit length.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lookalike.models.compact.efficientnet_lite import NetworkOutput
from lookalike.models.compact.figures import ClassFigures, CompactFigures

__all__ = [
    "drawing_words",
    "picture_classes",
    "picture_semantics",
    "similarity_kernel",
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


def visual_inputs(output: NetworkOutput) -> Tensor:
    """Return the input of the visual projection, [n, 1512]: the network's outputs, the deepest as square roots."""
    return torch.cat([output.features.clamp(min=0).sqrt(), output.middle, output.early], dim=1)


def visual_part(output: NetworkOutput, figures: ClassFigures) -> Tensor:
    """Return the visual part of pictures, [n, 256]."""
    return functional.normalize((visual_inputs(output) - figures.visual_mean) @ figures.visual_projection)


def picture_classes(scores: Tensor, figures: ClassFigures) -> Tensor:
    """Return the subject of pictures, [n, 245], as the ImageNet classes they resemble, from logits [n, 1000]."""
    shares = ((scores - figures.neutral_scores) / PICTURE_TEMPERATURE).softmax(dim=1)
    return functional.normalize(shares @ figures.class_rows)


def text_classes(vectors: Tensor, figures: ClassFigures) -> Tensor:
    """Map text vectors [n, 384] to the space of the classes, [n, 245]; half is the text, half the classes near it."""
    own = functional.normalize(_centred(vectors, figures) @ figures.text_projection)
    shares = (own @ functional.normalize(figures.class_rows).T / TEXT_TEMPERATURE).softmax(dim=1)
    classes = functional.normalize(shares @ figures.class_rows)
    return functional.normalize(own * (1 - CLASS_SHARE_OF_TEXT) + classes * CLASS_SHARE_OF_TEXT)


def similarity_kernel(visual: Tensor, drawing_rows: Tensor) -> Tensor:
    """Return the Gaussian kernel of the distance between pictures [n, 256] and drawings [m, 256]: [n, m], 0 to 1."""
    return (SHARPNESS * (visual @ drawing_rows.T - 1)).exp()


def drawing_words(visual: Tensor, figures: CompactFigures) -> Tensor:
    """Return the subject of pictures, [n, 192], as the captions of the drawings they resemble."""
    words = similarity_kernel(visual, figures.drawing_rows) @ figures.drawing_words
    return functional.normalize(words - figures.drawing_offset)


def text_words(vectors: Tensor, figures: CompactFigures) -> Tensor:
    """Map text vectors [n, 384] to the space of `drawing_words`, [n, 192]."""
    return functional.normalize(_centred(vectors, figures) @ figures.word_projection)


def picture_semantics(scores: Tensor, visual: Tensor, figures: CompactFigures) -> Tensor:
    """Return the semantic part of pictures, [n, 245], from both bridges with equal weight."""
    both = torch.cat([picture_classes(scores, figures), drawing_words(visual, figures)], dim=1)
    return functional.normalize(both @ figures.picture_joint)


def text_semantics(vectors: Tensor, figures: CompactFigures) -> Tensor:
    """Map text vectors [n, 384] to the space of `picture_semantics`, [n, 245]."""
    both = torch.cat([text_classes(vectors, figures), text_words(vectors, figures)], dim=1)
    return functional.normalize(both @ figures.text_joint)


def _centred(vectors: Tensor, figures: ClassFigures) -> Tensor:
    return functional.normalize(vectors) - figures.text_mean

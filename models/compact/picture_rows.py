"""From the outputs of the picture network of `compact` to the visual and semantic parts of a picture's row.

The semantic part joins two bridges between pictures and texts, which fail in different cases:

- classes: a picture is a weighted sum of the ImageNet classes it resembles (ConSE: Norouzi et al., 2014,
  arXiv:1312.5650).
- drawings: a picture is a weighted sum of the captioned pictures it resembles, by kernel ridge regression (Saunders et
  al., 1998). This head is the only trained part; the networks stay frozen (LiT: Zhai et al., 2022, arXiv:2111.07991).

`models/training/head.py` trains it. All parts returned here have rows of unit length. `text_rows.py` makes the rows of
texts.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lookalike.models.compact.colours import COLOUR_LEVELS, COLOUR_NAMES, colour_memberships
from lookalike.models.compact.efficientnet_lite import NetworkOutput
from lookalike.models.compact.figures import ClassFigures, CompactFigures

__all__ = [
    "drawing_words",
    "picture_classes",
    "picture_colours",
    "picture_semantics",
    "similarity_kernel",
    "visual_inputs",
    "visual_part",
]

SHARPNESS = 4.0
PICTURE_TEMPERATURE = 2.0

_WHITE_WEIGHT = 0.2  # most white is background
_COLOUR_STRIDE = 4


def visual_inputs(output: NetworkOutput) -> Tensor:
    """Return the input of the visual projection, [n, 1512]: the network's outputs, the deepest as square roots."""
    return torch.cat([output.features.clamp(min=0).sqrt(), output.middle, output.early], dim=1)


def visual_part(output: NetworkOutput, figures: ClassFigures[Tensor]) -> Tensor:
    """Return the visual part of pictures, [n, 256]."""
    return functional.normalize((visual_inputs(output) - figures.visual_mean) @ figures.visual_projection)


def picture_classes(scores: Tensor, figures: ClassFigures[Tensor]) -> Tensor:
    """Return the subject of pictures, [n, 245], as the ImageNet classes they resemble, from logits [n, 1000]."""
    shares = ((scores - figures.neutral_scores) / PICTURE_TEMPERATURE).softmax(dim=1)
    return functional.normalize(shares @ figures.class_rows)


def similarity_kernel(visual: Tensor, drawing_rows: Tensor) -> Tensor:
    """Return the Gaussian kernel of the distance between pictures [n, 256] and drawings [m, 256]: [n, m], 0 to 1."""
    return (SHARPNESS * (visual @ drawing_rows.T - 1)).exp()


def drawing_words(visual: Tensor, figures: CompactFigures[Tensor]) -> Tensor:
    """Return the subject of pictures, [n, 192], as the captions of the drawings they resemble."""
    words = similarity_kernel(visual, figures.drawing_rows) @ figures.drawing_words
    return functional.normalize(words - figures.drawing_offset)


def picture_semantics(scores: Tensor, visual: Tensor, figures: CompactFigures[Tensor]) -> Tensor:
    """Return the semantic part of pictures, [n, 245], from both bridges with equal weight."""
    both = torch.cat([picture_classes(scores, figures), drawing_words(visual, figures)], dim=1)
    return functional.normalize(both @ figures.picture_joint)


def picture_colours(pictures: Tensor) -> Tensor:
    """Return the square root of each colour's share of a picture: float32 [n, 11], rows of unit length.

    Args:
        pictures: uint8, shape [n, height, width, 3], RGB.
    """
    levels = (pictures[:, ::_COLOUR_STRIDE, ::_COLOUR_STRIDE].long() + 8) // 17
    cells = (levels[..., 0] * COLOUR_LEVELS + levels[..., 1]) * COLOUR_LEVELS + levels[..., 2]
    shares = torch.from_numpy(colour_memberships()).to(pictures.device)[cells.flatten(1)].mean(dim=1)
    shares[:, COLOUR_NAMES.index("white")] *= _WHITE_WEIGHT
    return (shares / shares.sum(dim=1, keepdim=True)).sqrt()

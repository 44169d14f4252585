"""Training of the head of `compact`: captioned pictures in, figures out, in closed form.

Kernel ridge regression (Saunders et al., 1998, "Ridge Regression Learning Algorithm in Dual Variables") predicts what
the captions of a picture say from how it looks. Both networks stay frozen, as in LiT (Zhai et al., 2022,
arXiv:2111.07991). No random numbers are used, so there is no seed; machines differ only in the rounding of their linear
algebra.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lookalike.models.compact.figures import ClassFigures, CompactFigures
from lookalike.models.compact.picture_rows import drawing_words, picture_classes, similarity_kernel
from lookalike.models.compact.text_rows import text_classes, text_words
from lookalike.models.vectors import Matrix

__all__ = ["Rows", "TrainingPictures", "fix_signs", "joint_projections", "train_head", "unit"]

WORD_DIM = 192
WORD_WHITENING = 0.5
RIDGE = 0.3
MAX_PICTURES_OF_A_CAPTION = 300
"""Captions of more pictures than this serve to file drawings, not to describe them."""

_FLOOR = 1e-4  # minimum of variances that are divided by, for directions without data

Rows = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrainingPictures:
    """Captioned pictures: visual parts [n, 256], class scores [n, 1000], and the weighted captions of each."""

    visual: Tensor
    scores: Tensor
    captions: Sequence[Mapping[str, float]]


def train_head(
    figures: ClassFigures[Matrix], pictures: TrainingPictures, embed: Callable[[Sequence[str]], Rows]
) -> CompactFigures[Matrix]:
    """Train the head on captioned pictures, and return it together with the figures it builds on.

    It takes memory for a few float64 matrices of shape [n, n], n being the number of pictures.

    Args:
        figures: The figures that the head builds on.
        pictures: The pictures; those without a usable caption are left out.
        embed: Maps texts to unit vectors, shape [n, 384].
    """
    counts = Counter(caption for captions in pictures.captions for caption in captions)
    texts = sorted(text for text, count in counts.items() if count <= MAX_PICTURES_OF_A_CAPTION)
    kept = [index for index, captions in enumerate(pictures.captions) if not captions.keys().isdisjoint(texts)]
    weights = _caption_weights([pictures.captions[index] for index in kept], texts)
    text_rows = embed(texts)
    visual, scores = pictures.visual[kept].double(), pictures.scores[kept]

    centred = unit(text_rows - figures.text_mean.astype(np.float64))
    values, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    values, axes = values[::-1][:WORD_DIM], fix_signs(axes[:, ::-1][:, :WORD_DIM])
    word_projection = axes / np.maximum(values, _FLOOR) ** (WORD_WHITENING / 2)

    targets = unit(unit(weights @ centred) @ word_projection)
    kernel = similarity_kernel(visual, visual).numpy()
    average = kernel.mean(axis=0)
    dual_weights = np.linalg.solve(kernel - average + RIDGE * np.eye(len(kept)), targets - targets.mean(axis=0))
    width = figures.class_rows.shape[1]
    unjoined = CompactFigures(
        **{field.name: getattr(figures, field.name) for field in fields(ClassFigures)},
        drawing_rows=visual.float().numpy(),
        drawing_words=dual_weights.astype(np.float32),
        drawing_offset=(average @ dual_weights).astype(np.float32),
        word_projection=word_projection.astype(np.float32),
        picture_joint=np.zeros((width + WORD_DIM, width), np.float32),
        text_joint=np.zeros((width + WORD_DIM, width), np.float32),
    )
    return _join(unjoined, visual.float(), scores, text_rows.astype(np.float32))


def _caption_weights(captions: Sequence[Mapping[str, float]], texts: Sequence[str]) -> Rows:
    columns = {text: column for column, text in enumerate(texts)}
    weights = np.zeros((len(captions), len(texts)))
    for row, weighted in enumerate(captions):
        for text, weight in weighted.items():
            if text in columns:
                weights[row, columns[text]] = weight
    return weights


def _join(
    figures: CompactFigures[Matrix], visual: Tensor, scores: Tensor, text_vectors: Matrix
) -> CompactFigures[Matrix]:
    """Join the words of classes and of drawings into as many dimensions as the classes have."""
    tensors = figures.mapped(torch.from_numpy)
    pictures = torch.cat([picture_classes(scores, tensors), drawing_words(visual, tensors)], dim=1)
    texts = np.concatenate([text_classes(text_vectors, figures), text_words(text_vectors, figures)], axis=1)
    width = figures.class_rows.shape[1]
    picture_joint, text_joint = joint_projections(pictures.double().numpy(), texts.astype(np.float64), width)
    return replace(figures, picture_joint=picture_joint.astype(np.float32), text_joint=text_joint.astype(np.float32))


def joint_projections(pictures: Rows, texts: Rows, width: int) -> tuple[Rows, Rows]:
    """Return projections P and T to `width` dimensions for which (p P)(t T) is closest to p t over all pairs.

    They minimise the mean of ((p P)(t T) - p t)^2 over rows p of `pictures` and t of `texts` (Eckart-Young theorem).
    """
    picture_root, picture_inverse = _roots(pictures)
    text_root, text_inverse = _roots(texts)
    left, values, right = np.linalg.svd(picture_root @ text_root)
    left, right, shares = left[:, :width], right[:width].T, np.sqrt(values[:width])
    return picture_inverse @ left * shares, text_inverse @ right * shares


def _roots(rows: Rows) -> tuple[Rows, Rows]:
    """Return the square root of the second moments of rows, and its inverse."""
    values, axes = np.linalg.eigh(rows.T @ rows / len(rows) + _FLOOR * np.eye(rows.shape[1]))
    return axes * np.sqrt(values) @ axes.T, axes / np.sqrt(values) @ axes.T


def fix_signs(axes: Rows) -> Rows:
    """Flip axes so that the largest component of each is positive, because solvers differ in their signs."""
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0)
    signed: Rows = axes * np.sign(largest)
    return signed


def unit(rows: Rows) -> Rows:
    """Scale rows to length 1 in double precision, unlike `unit_rows`; a row of zeros stays zero."""
    scaled: Rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return scaled

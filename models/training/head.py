"""Train the head of `compact`: captioned pictures in, figures out, in closed form.

What the captions of a picture say is predicted from what it looks like by kernel ridge regression (Saunders et al.,
1998, "Ridge Regression Learning Algorithm in Dual Variables"). Both networks stay as they are, as in LiT (Zhai et al.,
2022, arXiv:2111.07991). No random number is drawn, so there is no seed to fix; what differs between machines is the
rounding of their linear algebra.
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
from lookalike.models.compact.rows import drawing_words, picture_classes, resemblance, text_classes, text_words

__all__ = ["Rows", "Seen", "fix_signs", "joint_projections", "train_head", "unit"]

WORD_DIM = 192
WORD_WHITENING = 0.5
RIDGE = 0.3
MOST_PICTURES_OF_A_CAPTION = 300
"""Captions of more pictures than this file drawings rather than describe them."""

_FLOOR = 1e-4  # of variances before they are divided by: directions that nothing lies in

Rows = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Seen:
    """Pictures as the head takes them: visual parts [n, 256], class scores [n, 1000], and the captions of each."""

    visual: Tensor
    scores: Tensor
    captions: Sequence[Mapping[str, float]]


def train_head(figures: ClassFigures, seen: Seen, embed: Callable[[Sequence[str]], Rows]) -> CompactFigures:
    """Train the head on captioned pictures and put it beside the figures it builds on.

    Args:
        figures: What the head builds on.
        seen: The pictures; those without any usable caption are left out.
        embed: Texts to unit vectors, shape [n, 384].

    Takes memory for a few squares of the number of pictures, in float64.
    """
    counts = Counter(caption for captions in seen.captions for caption in captions)
    texts = sorted(text for text, count in counts.items() if count <= MOST_PICTURES_OF_A_CAPTION)
    kept = [place for place, captions in enumerate(seen.captions) if not captions.keys().isdisjoint(texts)]
    weights = _caption_weights([seen.captions[place] for place in kept], texts)
    text_rows = embed(texts)
    visual, scores = seen.visual[kept].double(), seen.scores[kept]

    centred = unit(text_rows - figures.text_mean.double().numpy())
    values, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    values, axes = values[::-1][:WORD_DIM], fix_signs(axes[:, ::-1][:, :WORD_DIM])
    word_projection = axes / np.maximum(values, _FLOOR) ** (WORD_WHITENING / 2)

    said = unit(unit(weights @ centred) @ word_projection)
    nearness = resemblance(visual, visual).numpy()
    average = nearness.mean(axis=0)
    answers = np.linalg.solve(nearness - average + RIDGE * np.eye(len(kept)), said - said.mean(axis=0))
    width = figures.class_rows.shape[1]
    unjoined = CompactFigures(
        **{field.name: getattr(figures, field.name) for field in fields(ClassFigures)},
        drawing_rows=visual.float(),
        drawing_words=_tensor(answers),
        drawing_offset=_tensor(average @ answers),
        word_projection=_tensor(word_projection),
        picture_joint=torch.zeros(width + WORD_DIM, width),
        text_joint=torch.zeros(width + WORD_DIM, width),
    )
    return _join(unjoined, visual.float(), scores, _tensor(text_rows))


def _caption_weights(captions: Sequence[Mapping[str, float]], texts: Sequence[str]) -> Rows:
    places = {text: place for place, text in enumerate(texts)}
    weights = np.zeros((len(captions), len(texts)))
    for row, each in enumerate(captions):
        for text, weight in each.items():
            if text in places:
                weights[row, places[text]] = weight
    return weights


def _join(figures: CompactFigures, visual: Tensor, scores: Tensor, text_rows: Tensor) -> CompactFigures:
    """Press the words of classes and of drawings into as many numbers as those of classes have."""
    pictures = torch.cat([picture_classes(scores, figures), drawing_words(visual, figures)], dim=1)
    texts = torch.cat([text_classes(text_rows, figures), text_words(text_rows, figures)], dim=1)
    width = figures.class_rows.shape[1]
    picture_joint, text_joint = joint_projections(pictures.double().numpy(), texts.double().numpy(), width)
    return replace(figures, picture_joint=_tensor(picture_joint), text_joint=_tensor(text_joint))


def joint_projections(pictures: Rows, texts: Rows, width: int) -> tuple[Rows, Rows]:
    """Find projections P and T of that width for which (p P)(t T) is nearest to p t, on average over all pairs.

    Minimises the mean of ((p P)(t T) - p t)^2 over rows p of `pictures` and t of `texts`, by the Eckart-Young theorem.
    """
    picture_root, picture_inverse = _roots(pictures)
    text_root, text_inverse = _roots(texts)
    left, values, right = np.linalg.svd(picture_root @ text_root)
    left, right, shares = left[:, :width], right[:width].T, np.sqrt(values[:width])
    return picture_inverse @ left * shares, text_inverse @ right * shares


def _roots(rows: Rows) -> tuple[Rows, Rows]:
    """Give the root of the second moments of rows, and its inverse."""
    values, axes = np.linalg.eigh(rows.T @ rows / len(rows) + _FLOOR * np.eye(rows.shape[1]))
    return axes * np.sqrt(values) @ axes.T, axes / np.sqrt(values) @ axes.T


def fix_signs(axes: Rows) -> Rows:
    """Turn every axis so that its largest component is positive: solvers differ in that."""
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0)
    signed: Rows = axes * np.sign(largest)
    return signed


def unit(rows: Rows) -> Rows:
    """Scale rows to length 1. In double precision, unlike `unit_rows`; a row of zeros stays zeros."""
    scaled: Rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return scaled


def _tensor(values: Rows) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))

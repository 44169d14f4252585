"""Measures the head of `compact` on sources that it was not trained on, and logs the table of its README.

It needs the packages that `make_compact.py` needs, and the Debian package `tuxpaint-stamps-default` for the stamps. The
head is trained on one or two sources and tried on another. Everything that needs no captions is taken from
`compact.npz`.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lookalike.data.sample.openclipart import half
from lookalike.models.compact.colours import text_colours
from lookalike.models.compact.figures import ClassFigures, CompactFigures
from lookalike.models.compact.picture_rows import picture_classes, picture_semantics, visual_part
from lookalike.models.compact.text_rows import COLOUR_OF_TEXT, text_classes, text_semantics
from lookalike.models.registry.spec import KNOWN_MODELS
from lookalike.models.training.head import train_head
from lookalike.models.training.make_compact import (
    LabelledOutputs,
    TextEmbedder,
    gather_trainable,
    load_network,
    run_network,
)
from lookalike.models.training.sources import read_drawings, read_emoji, read_stamps
from lookalike.models.vectors import Matrix
from lookalike.models.weights.packaged import read_weights

__all__ = ["Trial", "recall"]

DEPTHS = (1, 5, 10)
TRIALS = (
    (("drawings",), "emoji"),
    (("emoji",), "drawings"),
    (("drawings",), "stamps"),
    (("emoji",), "stamps"),
    (("drawings", "emoji"), "stamps"),
    (("drawings", "emoji"), "photographs"),
)
_ARTICLE = re.compile(r"^(a|an|some|the) ")


@dataclass(frozen=True, slots=True)
class Trial:
    """Names as queries for the pictures that have them, among all named pictures of a source.

    `pictures` are the rows of these pictures in the source; `relevant[i]` are the indices, among them, of the pictures
    that text `i` should find.
    """

    texts: list[str]
    relevant: list[list[int]]
    pictures: Tensor

    @classmethod
    def from_names(cls, names: Sequence[str], part: int) -> Trial:
        """Return the names of one half as queries (0 tuning, 1 held out), with the pictures of both as candidates."""
        pictures = [row for row, name in enumerate(names) if name]
        relevant: dict[str, list[int]] = defaultdict(list)
        for index, row in enumerate(pictures):
            if half(names[row]) == part:
                relevant[names[row]].append(index)
        return cls(sorted(relevant), [relevant[text] for text in sorted(relevant)], torch.tensor(pictures))

    def without(self, captions: Collection[str]) -> Trial:
        """Return the trial without the names that, articles aside, are among the captions."""
        kept = [index for index, text in enumerate(self.texts) if _ARTICLE.sub("", text) not in captions]
        return Trial([self.texts[index] for index in kept], [self.relevant[index] for index in kept], self.pictures)


def recall(scores: Tensor, relevant: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """Return the mean recall at 1, 5 and 10 in percent, each relative to at most that many relevant pictures: [3]."""
    best = scores.topk(max(DEPTHS), dim=1).indices.tolist()
    shares = [
        [len(set(row[:depth]) & set(right)) / min(depth, len(right)) for depth in DEPTHS]
        for row, right in zip(best, relevant, strict=True)
    ]
    return np.asarray(100 * np.mean(shares, axis=0), dtype=np.float64)


def scores_of(trial: Trial, source: LabelledOutputs, figures: ClassFigures[Matrix], vectors: Matrix) -> Tensor:
    """Return the scores of texts and pictures as `compact` computes them; figures without a head use classes alone."""
    logits, colours = source.outputs.scores[trial.pictures], source.colours[trial.pictures]
    if isinstance(figures, CompactFigures):
        tensors = figures.mapped(torch.from_numpy)
        visual = visual_part(source.outputs, tensors)[trial.pictures]
        texts, pictures = text_semantics(vectors, figures), picture_semantics(logits, visual, tensors)
    else:
        texts, pictures = text_classes(vectors, figures), picture_classes(logits, figures.mapped(torch.from_numpy))
    scores = torch.from_numpy(texts) @ pictures.T
    colours_of_texts = functional.normalize(torch.from_numpy(text_colours(trial.texts)))
    colours_of_pictures = functional.normalize(colours - torch.from_numpy(figures.colour_mean))
    return scores + COLOUR_OF_TEXT * colours_of_texts @ colours_of_pictures.T


def main() -> None:
    """Train and evaluate source by source, and log a table. "Unseen" names were not captions in training."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    network, embed = load_network(), TextEmbedder()
    shipped = CompactFigures.from_bytes(read_weights(KNOWN_MODELS["compact"].files["figures"]))
    bare = shipped.without_head()
    photographs = read_stamps(photographs_only=True)
    sources = {"drawings": read_drawings(), "emoji": read_emoji(), "stamps": read_stamps(), "photographs": photographs}
    described = {name: run_network(network, pictures) for name, pictures in sources.items()}
    heads = ["trained on", "tried on", "half", "pictures"]
    for names in ("names", "unseen names"):
        heads += [names, *(f"{side} @{depth}" for side in ("without", "with") for depth in DEPTHS)]
    logging.info("| %s |", " | ".join(heads))
    for trained_on, tried_on in TRIALS:
        pictures = gather_trainable(bare.mapped(torch.from_numpy), [described[name] for name in trained_on])
        # The figures are rounded, as in the shipped file.
        figures = CompactFigures.from_bytes(train_head(bare, pictures, embed).to_bytes())
        captions = {caption for weighted in pictures.captions for caption in weighted}
        source = described[tried_on]
        for part, half_name in enumerate(("tuning", "held out")):
            trial = Trial.from_names([label.name for label in source.labels], part)
            cells = [" and ".join(trained_on), tried_on, half_name, f"{len(trial.pictures):,}"]
            for queries in (trial, trial.without(captions)):
                vectors = embed(queries.texts).astype(np.float32)
                recalls = [
                    recall(scores_of(queries, source, model, vectors), queries.relevant) for model in (bare, figures)
                ]
                cells += [f"{len(queries.texts):,}", *(f"{value:.1f}" for value in np.concatenate(recalls))]
            logging.info("| %s |", " | ".join(cells))


if __name__ == "__main__":
    main()

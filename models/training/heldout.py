"""Measure what the head of `compact` is worth on sources that it was not trained on.

Needs what `make_compact.py` beside it needs, and for the stamps the Debian package `tuxpaint-stamps-default`. The
head is trained anew on one or two sources and tried on another; what needs no captions is taken from `compact.npz`.
Prints the table of `models/compact/README.md`.
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
from lookalike.models.colours import text_colours
from lookalike.models.compact.encoder import COLOUR_OF_TEXT
from lookalike.models.compact.figures import ClassFigures, CompactFigures
from lookalike.models.compact.rows import picture_classes, picture_semantics, text_classes, text_semantics, visual_part
from lookalike.models.registry.spec import KNOWN_MODELS
from lookalike.models.training.head import train_head
from lookalike.models.training.make_compact import Described, TextEmbedder, gather_trainable, load_network, see
from lookalike.models.training.sources import read_drawings, read_emoji, read_stamps
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
    """Names as queries, for the pictures that have them, among all named pictures of a source.

    `pictures` are the rows of those, `wanted[i]` the places among them of what text `i` should find.
    """

    texts: list[str]
    wanted: list[list[int]]
    pictures: Tensor

    @classmethod
    def of(cls, names: Sequence[str], part: int) -> Trial:
        """Take the names of one half, 0 for tuning and 1 held out; the pictures of both stay to be found."""
        pictures = [row for row, name in enumerate(names) if name]
        wanted: dict[str, list[int]] = defaultdict(list)
        for place, row in enumerate(pictures):
            if half(names[row]) == part:
                wanted[names[row]].append(place)
        return cls(sorted(wanted), [wanted[text] for text in sorted(wanted)], torch.tensor(pictures))

    def unheard(self, captions: Collection[str]) -> Trial:
        """Leave out the names that, but for an article, are among these captions."""
        kept = [place for place, text in enumerate(self.texts) if _ARTICLE.sub("", text) not in captions]
        return Trial([self.texts[place] for place in kept], [self.wanted[place] for place in kept], self.pictures)


def recall(scores: Tensor, wanted: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """Give the mean share in percent of what is wanted among the first 1, 5 and 10, of at most that many, shape [3]."""
    best = scores.topk(max(DEPTHS), dim=1).indices.tolist()
    shares = [
        [len(set(row[:depth]) & set(right)) / min(depth, len(right)) for depth in DEPTHS]
        for row, right in zip(best, wanted, strict=True)
    ]
    return np.asarray(100 * np.mean(shares, axis=0), dtype=np.float64)


def scores_of(trial: Trial, source: Described, figures: ClassFigures, vectors: Tensor) -> Tensor:
    """Score texts against pictures as `compact` does; without the head, where the figures have none."""
    scores, colours = source.sight.scores[trial.pictures], source.colours[trial.pictures]
    if isinstance(figures, CompactFigures):
        visual = visual_part(source.sight, figures)[trial.pictures]
        meant = text_semantics(vectors, figures) @ picture_semantics(scores, visual, figures).T
    else:
        meant = text_classes(vectors, figures) @ picture_classes(scores, figures).T
    named = functional.normalize(torch.from_numpy(text_colours(trial.texts)))
    return meant + COLOUR_OF_TEXT * named @ functional.normalize(colours - figures.colour_mean).T


def main() -> None:
    """Train and try, source by source, and log a table; "unheard" names were no captions in training."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    network, embed = load_network(), TextEmbedder()
    shipped = CompactFigures.from_bytes(read_weights(KNOWN_MODELS["compact"].files["figures"]))
    bare = shipped.without_head()
    photographs = read_stamps(photographs_only=True)
    sources = {"drawings": read_drawings(), "emoji": read_emoji(), "stamps": read_stamps(), "photographs": photographs}
    described = {name: see(network, pictures) for name, pictures in sources.items()}
    heads = ["trained on", "tried on", "half", "pictures"]
    for names in ("names", "unheard names"):
        heads += [names, *(f"{side} @{depth}" for side in ("without", "with") for depth in DEPTHS)]
    logging.info("| %s |", " | ".join(heads))
    for learnt, tried in TRIALS:
        seen = gather_trainable(bare, [described[name] for name in learnt])
        figures = CompactFigures.from_bytes(train_head(bare, seen, embed).to_bytes())  # rounded, as it is shipped
        captions = {caption for each in seen.captions for caption in each}
        source = described[tried]
        for part, half_name in enumerate(("tuning", "held out")):
            trial = Trial.of([label.name for label in source.labels], part)
            cells = [" and ".join(learnt), tried, half_name, f"{len(trial.pictures):,}"]
            for asked in (trial, trial.unheard(captions)):
                vectors = torch.from_numpy(embed(asked.texts).astype(np.float32))
                found = [recall(scores_of(asked, source, each, vectors), asked.wanted) for each in (bare, figures)]
                cells += [f"{len(asked.texts):,}", *(f"{value:.1f}" for value in np.concatenate(found))]
            logging.info("| %s |", " | ".join(cells))


if __name__ == "__main__":
    main()

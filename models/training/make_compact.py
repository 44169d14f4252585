"""Build `compact.npz`, the figures of the `compact` model: python -m lookalike.models.training.make_compact.

It needs no network, but these Debian packages besides the model's weights: `wordnet-base`; `openclipart-png` and
`openclipart-svg`; `fonts-noto-color-emoji`, `unicode-data` and `unicode-cldr-core`. It takes a few minutes. The SHA-256
hash of the new file is logged and must be entered in `models/registry/spec.py`.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load as load_safetensors
from torch import Tensor
from torch.nn import functional
from torchvision.models._meta import _IMAGENET_CATEGORIES  # type: ignore[import-untyped]  # untyped

from lookalike.models.base import Prepared
from lookalike.models.compact.efficientnet_lite import (
    EARLY_DIM,
    FEATURE_DIM,
    INPUT_SIZE,
    MIDDLE_DIM,
    EfficientNetLite0,
    NetworkOutput,
)
from lookalike.models.compact.figures import ClassFigures, CompactFigures
from lookalike.models.compact.imagenet_words import broader_terms, match_classes, read_nouns
from lookalike.models.compact.minilm import MiniLM
from lookalike.models.compact.minilm_numpy import read_tokenizer
from lookalike.models.compact.picture_rows import picture_colours, visual_inputs, visual_part
from lookalike.models.registry.spec import KNOWN_MODELS
from lookalike.models.torch_base.torch_encoder import keep_freed_memory
from lookalike.models.training.head import Rows, TrainingPictures, fix_signs, train_head, unit
from lookalike.models.training.sources import Label, read_drawings, read_emoji
from lookalike.models.vectors import Matrix
from lookalike.models.weights.packaged import read_weights

__all__ = ["LabelledOutputs", "TextEmbedder", "gather_trainable", "load_network", "make_figures", "run_network"]

PICTURES_PER_BATCH = 32
VISUAL_DIM = 256
SEMANTIC_DIM = 245
DEPTH_SHARES = {FEATURE_DIM: 0.5, MIDDLE_DIM: 0.3, EARLY_DIM: 0.2}
VISUAL_WHITENING = 0.5
SEMANTIC_WHITENING = 0.75
DEFINITION_SHARE = 0.5
BROADER_DECAY = 0.5


@dataclass(frozen=True, slots=True)
class LabelledOutputs:
    """The network's outputs for pictures, their colours [n, 11], and a label for each of them."""

    outputs: NetworkOutput
    colours: Tensor
    labels: list[Label]


def make_figures() -> CompactFigures[Matrix]:
    """Return all figures, made from the weights, WordNet, drawings and emoji; a machine always makes the same ones."""
    network = load_network()
    embed = TextEmbedder()
    drawings, emoji = run_network(network, read_drawings()), run_network(network, read_emoji())
    with torch.inference_mode():
        neutral_scores = network(torch.from_numpy(np.stack(list(plain_shapes())))).scores.mean(dim=0)
    tuning = torch.tensor([label.unsupervised for label in drawings.labels])
    visual_mean, visual_projection = _fit_visual(visual_inputs(drawings.outputs)[tuning].double().numpy())
    text_mean, text_projection, class_rows = _fit_semantic(_class_vectors(embed))
    figures = ClassFigures(
        visual_mean=visual_mean.astype(np.float32),
        visual_projection=visual_projection.astype(np.float32),
        neutral_scores=neutral_scores.numpy(),
        text_mean=text_mean.astype(np.float32),
        text_projection=text_projection.astype(np.float32),
        class_rows=class_rows.astype(np.float32),
        colour_mean=drawings.colours[tuning].mean(dim=0).numpy(),
    )
    return train_head(figures, gather_trainable(figures.mapped(torch.from_numpy), [drawings, emoji]), embed)


def load_network() -> EfficientNetLite0:
    """Return the picture network of `compact` on the CPU."""
    keep_freed_memory()
    content = read_weights(KNOWN_MODELS["compact"].files["pictures"])
    return EfficientNetLite0.from_checkpoint(torch.load(io.BytesIO(content), weights_only=True))


def run_network(network: EfficientNetLite0, pictures: Iterable[tuple[Prepared, Label]]) -> LabelledOutputs:
    """Run the network over pictures in batches, keeping only its outputs."""
    outputs: list[NetworkOutput] = []
    colours: list[Tensor] = []
    labels: list[Label] = []
    remaining = iter(pictures)
    while batch := list(itertools.islice(remaining, PICTURES_PER_BATCH)):
        prepared = torch.from_numpy(np.stack([picture for picture, _ in batch]))
        with torch.inference_mode():
            outputs.append(network(prepared))
        colours.append(picture_colours(prepared))
        labels.extend(label for _, label in batch)
    return LabelledOutputs(NetworkOutput(*map(torch.cat, zip(*outputs, strict=True))), torch.cat(colours), labels)


def gather_trainable(figures: ClassFigures[Tensor], sources: Sequence[LabelledOutputs]) -> TrainingPictures:
    """Collect the pictures that may be used for training."""
    parts = [(source, torch.tensor([label.trainable for label in source.labels])) for source in sources]
    return TrainingPictures(
        visual=torch.cat([visual_part(source.outputs, figures)[rows] for source, rows in parts]),
        scores=torch.cat([source.outputs.scores[rows] for source, rows in parts]),
        captions=[label.captions for source in sources for label in source.labels if label.trainable],
    )


def plain_shapes() -> Iterator[Prepared]:
    """Yield squares, discs and bars in nine colours on white, uint8 [224, 224, 3]: pictures without a subject.

    Subtracting a model's response to input without content is contextual calibration (Zhao et al., 2021,
    arXiv:2102.09690).
    """
    rows, columns = np.mgrid[:INPUT_SIZE, :INPUT_SIZE]
    square = (rows >= 50) & (rows < 174) & (columns >= 50) & (columns < 174)
    disc = (rows - 112) ** 2 + (columns - 112) ** 2 < 80**2
    upright = (rows >= 16) & (rows < 208) & (columns >= 80) & (columns < 144)
    strong = [colour for colour in itertools.product((0, 255), repeat=3) if colour != (255, 255, 255)]
    for colour in (*strong, (128, 128, 128), (128, 64, 0)):
        for shape in (square, disc, upright, upright.T):
            picture = np.full((INPUT_SIZE, INPUT_SIZE, 3), 255, dtype=np.uint8)
            picture[shape] = colour
            yield picture


def _fit_visual(inputs: Rows) -> tuple[Rows, Rows]:
    """Return the mean and projection of the visual part: principal components of the three depths, half whitened."""
    mean = inputs.mean(axis=0)
    centred = inputs - mean
    scale = np.empty(centred.shape[1])
    start = 0
    for width, share in DEPTH_SHARES.items():
        part = slice(start, start + width)
        # The features share one unit. Channels of the other depths do not, so each is scaled by its own deviation.
        scale[part] = 1.0 if width == FEATURE_DIM else 1 / (centred[:, part].std(axis=0) + 1e-3)
        scale[part] *= np.sqrt(share / np.square(centred[:, part] * scale[part]).sum(axis=1).mean())
        start += width
    scaled = centred * scale
    values, axes = np.linalg.eigh(scaled.T @ scaled / len(scaled))
    values, axes = values[::-1][:VISUAL_DIM], fix_signs(axes[:, ::-1][:, :VISUAL_DIM])
    return mean, scale[:, None] * axes / values ** (VISUAL_WHITENING / 2)


def _fit_semantic(class_vectors: Rows) -> tuple[Rows, Rows, Rows]:
    """Return the mean, projection and rows of the class embeddings in the space they span, three quarters whitened."""
    mean = class_vectors.mean(axis=0)
    centred = unit(class_vectors - mean)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    projection = fix_signs(axes[:SEMANTIC_DIM].T) * (values[0] / values[:SEMANTIC_DIM]) ** SEMANTIC_WHITENING
    return mean, projection, centred @ projection


def _class_vectors(embed: TextEmbedder) -> Rows:
    """Return one unit vector for each class: synonyms, half the definition, and broader terms, halved at each step."""
    nouns = read_nouns()
    synsets = match_classes(list(_IMAGENET_CATEGORIES), nouns)
    vectors = []
    for synset in synsets:
        synonyms = unit(embed(synset.words).sum(axis=0, keepdims=True))
        vector = unit(synonyms + DEFINITION_SHARE * embed([synset.definition]))[0]
        for step, term in enumerate(broader_terms(synset, nouns), start=1):
            vector = vector + BROADER_DECAY**step * embed(term.words[:1])[0]
        vectors.append(vector)
    return unit(np.stack(vectors))


class TextEmbedder:
    """Maps texts to unit vectors, embedding each text only once."""

    def __init__(self) -> None:
        files = KNOWN_MODELS["compact"].files
        self._network = MiniLM.from_checkpoint(load_safetensors(read_weights(files["texts"])))
        self._tokenizer = read_tokenizer(read_weights(files["tokenizer"]))
        self._known: dict[str, Rows] = {}

    def __call__(self, texts: Sequence[str]) -> Rows:
        """Return the unit vectors of texts, float64, shape [n, 384]."""
        for text in texts:
            if text not in self._known:
                tokens = torch.tensor([self._tokenizer.encode(text).ids])
                with torch.inference_mode():
                    vector = functional.normalize(self._network(tokens, torch.ones_like(tokens, dtype=torch.bool)))
                self._known[text] = vector[0].double().numpy()
        return np.stack([self._known[text] for text in texts])


def main() -> None:
    """Write `compact.npz`, and log its size and hash."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    target = Path(__file__).parents[1] / "compact" / "compact.npz"
    content = make_figures().to_bytes()
    target.write_bytes(content)
    logging.info("%s: %d bytes, sha256 %s", target.name, len(content), hashlib.sha256(content).hexdigest())


if __name__ == "__main__":
    main()

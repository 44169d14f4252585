"""Make `compact.npz`, the figures of the `compact` model: python -m models.make_compact.

Needs no network, but Debian packages besides the model's own weights: `wordnet-base`, and `openclipart-png` with
`openclipart-svg`, whose public-domain drawings the visual projection is fitted to (no title or keyword is used). Takes
a few minutes. The new file's SHA-256 is logged and belongs into `models/spec.py`.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load as load_safetensors
from torch import Tensor
from torch.nn import functional
from torchvision.models._meta import _IMAGENET_CATEGORIES  # type: ignore[import-untyped]  # it has no types

from data.errors import NotAPicture
from data.images import decode
from data.openclipart import MAX_PIXELS as MAX_DRAWING_PIXELS
from data.openclipart import half, is_flag, picture_size, read_openclipart
from models.base import Prepared
from models.colours import picture_colours
from models.compact import prepare_picture, visual_inputs
from models.compact_figures import CompactFigures
from models.efficientnet_lite import EARLY_DIM, FEATURE_DIM, INPUT_SIZE, MIDDLE_DIM, EfficientNetLite0
from models.imagenet_words import broader_terms, match_classes, read_nouns
from models.minilm import MiniLM, read_tokenizer
from models.spec import KNOWN_MODELS
from models.weights import read_weights

__all__ = ["make_figures"]

VISUAL_DIM = 256
SEMANTIC_DIM = 245
DEPTH_SHARES = {FEATURE_DIM: 0.5, MIDDLE_DIM: 0.3, EARLY_DIM: 0.2}
VISUAL_WHITENING = 0.5
SEMANTIC_WHITENING = 0.75
DEFINITION_SHARE = 0.5
BROADER_DECAY = 0.5

Rows = NDArray[np.float64]


def make_figures() -> CompactFigures:
    """Make all figures from the weights, WordNet and the drawings; the same ones every time on one machine."""
    files = KNOWN_MODELS["compact"].files
    checkpoint = torch.load(io.BytesIO(read_weights(files["pictures"])), weights_only=True)
    network = EfficientNetLite0.from_checkpoint(checkpoint)
    with torch.inference_mode():
        neutral_scores = network(torch.from_numpy(np.stack(list(plain_shapes())))).scores.mean(dim=0)
        inputs, colours = _see(network, list(_drawings()))
    visual_mean, visual_projection = _fit_visual(inputs)
    text_mean, text_projection, class_rows = _fit_semantic(_class_vectors())
    return CompactFigures(
        visual_mean=_tensor(visual_mean),
        visual_projection=_tensor(visual_projection),
        neutral_scores=neutral_scores.clone(),
        text_mean=_tensor(text_mean),
        text_projection=_tensor(text_projection),
        class_rows=_tensor(class_rows),
        colour_mean=_tensor(colours.mean(axis=0)),
    )


def plain_shapes() -> Iterator[Prepared]:
    """Yield squares, discs and bars in nine colours on white: pictures of nothing, which show the network's habits.

    Subtracting what a model answers to empty input is contextual calibration (Zhao et al., 2021, arXiv:2102.09690).
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


def _drawings() -> Iterator[Prepared]:
    """Every public-domain drawing of the tuning half, but flags and the thousand computed stars."""
    for clipart in read_openclipart():
        stars = any(category.startswith("shapes/stars") for category in clipart.categories)
        if stars or is_flag(clipart) or not clipart.public_domain or half(clipart.title or clipart.stem):
            continue
        size = picture_size(clipart.png)
        if size is None or size[0] * size[1] > MAX_DRAWING_PIXELS:
            continue
        try:
            yield prepare_picture(decode(clipart.png.read_bytes()).rgb)
        except NotAPicture:
            continue


def _see(network: EfficientNetLite0, pictures: Sequence[Prepared]) -> tuple[Rows, Rows]:
    """Give the inputs of the visual projection, [n, 1512], and the colours, [n, 11]."""
    inputs, colours = [], []
    for start in range(0, len(pictures), 32):
        batch = torch.from_numpy(np.stack(pictures[start : start + 32]))
        inputs.append(visual_inputs(network(batch)).double().numpy())
        colours.append(picture_colours(batch).double().numpy())
    return np.concatenate(inputs), np.concatenate(colours)


def _fit_visual(inputs: Rows) -> tuple[Rows, Rows]:
    """Principal components of the three depths, each brought to its share of the whole, and half whitened."""
    mean = inputs.mean(axis=0)
    centred = inputs - mean
    scale = np.empty(centred.shape[1])
    start = 0
    for width, share in DEPTH_SHARES.items():
        part = slice(start, start + width)
        # The features share one unit; channels of the other depths do not, so each is brought to its own deviation.
        scale[part] = 1.0 if width == FEATURE_DIM else 1 / (centred[:, part].std(axis=0) + 1e-3)
        scale[part] *= np.sqrt(share / np.square(centred[:, part] * scale[part]).sum(axis=1).mean())
        start += width
    scaled = centred * scale
    values, axes = np.linalg.eigh(scaled.T @ scaled / len(scaled))
    values, axes = values[::-1][:VISUAL_DIM], _fix_signs(axes[:, ::-1][:, :VISUAL_DIM])
    return mean, scale[:, None] * axes / values ** (VISUAL_WHITENING / 2)


def _fit_semantic(class_vectors: Rows) -> tuple[Rows, Rows, Rows]:
    """Find the space the class embeddings span around their mean, and make its axes more nearly of one length."""
    mean = class_vectors.mean(axis=0)
    centred = _unit(class_vectors - mean)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    projection = _fix_signs(axes[:SEMANTIC_DIM].T) * (values[0] / values[:SEMANTIC_DIM]) ** SEMANTIC_WHITENING
    return mean, projection, centred @ projection


def _class_vectors() -> Rows:
    """One unit vector a class: its synonyms, half its definition, and its broader terms, each half the one before."""
    nouns = read_nouns()
    synsets = match_classes(list(_IMAGENET_CATEGORIES), nouns)
    embed = _Embedder()
    vectors = []
    for synset in synsets:
        synonyms = _unit(embed(synset.words).sum(axis=0, keepdims=True))
        vector = _unit(synonyms + DEFINITION_SHARE * embed([synset.definition]))[0]
        for step, term in enumerate(broader_terms(synset, nouns), start=1):
            vector = vector + BROADER_DECAY**step * embed(term.words[:1])[0]
        vectors.append(vector)
    return _unit(np.stack(vectors))


class _Embedder:
    """Texts to unit vectors, each text embedded once."""

    def __init__(self) -> None:
        files = KNOWN_MODELS["compact"].files
        self._network = MiniLM.from_checkpoint(load_safetensors(read_weights(files["texts"])))
        self._tokenizer = read_tokenizer(read_weights(files["tokenizer"]))
        self._known: dict[str, Rows] = {}

    def __call__(self, texts: Sequence[str]) -> Rows:
        for text in texts:
            if text not in self._known:
                tokens = torch.tensor([self._tokenizer.encode(text).ids])
                with torch.inference_mode():
                    vector = functional.normalize(self._network(tokens, torch.ones_like(tokens, dtype=torch.bool)))
                self._known[text] = vector[0].double().numpy()
        return np.stack([self._known[text] for text in texts])


def _fix_signs(axes: Rows) -> Rows:
    """Turn every axis so that its largest component is positive: solvers differ in that."""
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0)
    signed: Rows = axes * np.sign(largest)
    return signed


def _unit(rows: Rows) -> Rows:
    """In double precision, unlike `unit_rows`: these figures are made once."""
    scaled: Rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


def _tensor(values: Rows) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def main() -> None:
    """Write the file beside this one."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    target = Path(__file__).with_name("compact.npz")
    content = make_figures().to_bytes()
    target.write_bytes(content)
    logging.info("%s: %d bytes, sha256 %s", target.name, len(content), hashlib.sha256(content).hexdigest())


if __name__ == "__main__":
    main()

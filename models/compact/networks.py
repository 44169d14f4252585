"""The networks of `compact` in torch: pictures by EfficientNet-Lite0, and many texts at once by MiniLM-L6."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from lookalike.models.base import Prepared
from lookalike.models.compact.efficientnet_lite import INPUT_SIZE, EfficientNetLite0
from lookalike.models.compact.figures import CompactFigures
from lookalike.models.compact.minilm import MiniLM
from lookalike.models.compact.picture_rows import picture_colours, picture_semantics, visual_part
from lookalike.models.compact.short_texts import TextWeights
from lookalike.models.compact.text_rows import COLOUR_SHARE, SEMANTIC_SHARE, VISUAL_SHARE, text_rows
from lookalike.models.lazy import Lazy
from lookalike.models.registry.spec import KnownModel
from lookalike.models.torch_base.frames import fit_to_square
from lookalike.models.torch_base.torch_encoder import TorchEncoder, Tower, pick_device, precision_on
from lookalike.models.vectors import Matrix
from lookalike.models.weights.packaged import read_weights

__all__ = ["CompactNetworks", "PictureTower", "TextTower", "load_networks", "prepare_picture"]

MARGIN = 16
"""Pixels that a prepared picture leaves free at each edge of an object on a plain background."""


@dataclass(frozen=True, slots=True)
class PictureTower:
    """The picture network, and the figures that turn its outputs into rows."""

    network: EfficientNetLite0
    figures: CompactFigures[Tensor]


@dataclass(frozen=True, slots=True)
class TextTower:
    """The text network, its tokenizer, and the figures that turn its vectors into rows."""

    network: MiniLM
    tokenizer: Tokenizer
    figures: CompactFigures[Matrix]


class CompactNetworks(TorchEncoder):
    """The encoder without its quick way for short texts; each of its two towers is loaded at first use."""

    def __init__(
        self, known: KnownModel, device: torch.device, pictures: Tower[PictureTower], texts: Tower[TextTower]
    ) -> None:
        super().__init__(known.spec, device)
        self.pictures = pictures
        self.texts = texts

    def prepare(self, image: Image.Image) -> Prepared:
        """Trim the plain background around an object and fit it into a square: uint8 [224, 224, 3]."""
        return prepare_picture(image)

    def _picture_rows(self, pictures: Tensor) -> Tensor:
        with self.pictures.use() as tower:
            output, figures = tower.network(pictures), tower.figures
        visual = visual_part(output, figures)
        semantic = picture_semantics(output.scores, visual, figures)
        colour = picture_colours(pictures) - figures.colour_mean
        parts = ((visual, VISUAL_SHARE), (semantic, SEMANTIC_SHARE), (colour, COLOUR_SHARE))
        return torch.cat([functional.normalize(part) * share**0.5 for part, share in parts], dim=1)

    def _text_rows(self, texts: Sequence[str]) -> Tensor:
        return self._text_and_title_rows(texts)[0]

    def _text_and_title_rows(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        with self.texts.use() as tower:
            vectors = self._text_vectors(tower, texts).float().cpu()
        return torch.from_numpy(text_rows(texts, vectors.numpy(), tower.figures, self.spec.dim)), vectors

    def _title_rows(self, texts: Sequence[str]) -> Tensor:
        with self.texts.use() as tower:
            return self._text_vectors(tower, texts)

    def _text_vectors(self, tower: TextTower, texts: Sequence[str]) -> Tensor:
        rows = [torch.tensor(encoding.ids) for encoding in tower.tokenizer.encode_batch_fast(list(texts))]
        tokens = nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self.device)
        lengths = torch.tensor([len(row) for row in rows], device=self.device)
        mask = torch.arange(tokens.shape[1], device=self.device) < lengths[:, None]
        vectors: Tensor = tower.network(tokens, mask)
        return vectors


def load_networks(known: KnownModel, texts: Lazy[TextWeights], *, device: str) -> CompactNetworks:
    """Return the networks; the weights of pictures are read when the first picture comes, those of texts likewise.

    Raises:
        UsageError: this machine has no such device.
    """
    target = pick_device(device)
    precision = precision_on(target)

    def load_pictures() -> PictureTower:
        checkpoint = torch.load(io.BytesIO(read_weights(known.files["pictures"])), weights_only=True)
        figures = CompactFigures.from_bytes(read_weights(known.files["figures"]))
        return PictureTower(
            EfficientNetLite0.from_checkpoint(checkpoint).to(target, precision),
            figures.mapped(lambda values: torch.from_numpy(values).to(target)),
        )

    def load_texts() -> TextTower:
        weights = texts.get()
        checkpoint = {name: torch.from_numpy(values) for name, values in weights.checkpoint.items()}
        network = MiniLM.from_checkpoint(checkpoint).to(target, precision)
        return TextTower(network, weights.tokenizer, weights.figures)

    return CompactNetworks(known, target, Tower(load_pictures), Tower(load_texts))


def prepare_picture(image: Image.Image) -> Prepared:
    """Trim the plain background around an object and fit it into a square: uint8 [224, 224, 3]."""
    return fit_to_square(image, side=INPUT_SIZE, margin=MARGIN)

"""`compact`, the model that needs no download: pictures by EfficientNet-Lite0, texts by MiniLM-L6.

The row of a picture has three parts, [visual | semantic | colour], so that one inner product serves pictures and texts:

- visual, 256: outputs of the picture network at three depths, projected.
- semantic, 245: the subject in words, from the ImageNet classes and the captioned drawings that the picture resembles
  (`models/compact/rows.py`).
- colour, 11: the share of each basic colour.

The row of a text has no visual part; its colour part has the colours it names. `models/compact/README.md` describes how
these choices were made and what each of them contributes; `models/training/make_compact.py` makes the figures.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from safetensors.torch import load as load_safetensors
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from lookalike.models.base import Prepared
from lookalike.models.colours import picture_colours, text_colours
from lookalike.models.compact.efficientnet_lite import INPUT_SIZE, EfficientNetLite0
from lookalike.models.compact.figures import CompactFigures
from lookalike.models.compact.minilm import MiniLM, read_tokenizer
from lookalike.models.compact.rows import picture_semantics, text_semantics, visual_part
from lookalike.models.registry.spec import KnownModel
from lookalike.models.torch_base.frames import fit_to_square
from lookalike.models.torch_base.torch_encoder import TorchEncoder, Tower, pick_device, precision_on
from lookalike.models.weights.packaged import read_weights

__all__ = ["CompactEncoder", "PictureTower", "TextTower", "load_compact", "prepare_picture"]

VISUAL_SHARE, SEMANTIC_SHARE, COLOUR_SHARE = 0.7, 0.2, 0.1
"""Share of each part in a picture's score with itself; they add up to 1."""

MARGIN = 16
COLOUR_OF_TEXT = 0.3
"""Weight of a named colour relative to the rest of a text, before the shares above are applied."""


@dataclass(frozen=True, slots=True)
class PictureTower:
    """The picture network, and the figures that turn its outputs into rows."""

    network: EfficientNetLite0
    figures: CompactFigures


@dataclass(frozen=True, slots=True)
class TextTower:
    """The text network, its tokenizer, and the figures that turn its vectors into rows."""

    network: MiniLM
    tokenizer: Tokenizer
    figures: CompactFigures


class CompactEncoder(TorchEncoder):
    """The encoder of `compact`; each of its two towers is loaded at first use."""

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
            vectors, figures = self._text_vectors(tower, texts), tower.figures
        semantic = text_semantics(vectors, figures)
        colour = functional.normalize(torch.from_numpy(text_colours(texts)).to(self.device))
        colour = colour * (COLOUR_OF_TEXT * (SEMANTIC_SHARE / COLOUR_SHARE) ** 0.5)
        visual = semantic.new_zeros(len(texts), self.spec.dim - semantic.shape[1] - colour.shape[1])
        return torch.cat([visual, semantic, colour], dim=1), vectors

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


def load_compact(known: KnownModel, *, device: str = "auto") -> CompactEncoder:
    """Return the encoder; its weights are read when the first picture or text comes.

    Raises:
        UsageError: this machine has no such device.
    """
    target = pick_device(device)
    precision = precision_on(target)

    def load_figures() -> CompactFigures:
        return CompactFigures.from_bytes(read_weights(known.files["figures"])).to(target)

    def load_pictures() -> PictureTower:
        checkpoint = torch.load(io.BytesIO(read_weights(known.files["pictures"])), weights_only=True)
        return PictureTower(EfficientNetLite0.from_checkpoint(checkpoint).to(target, precision), load_figures())

    def load_texts() -> TextTower:
        network = MiniLM.from_checkpoint(load_safetensors(read_weights(known.files["texts"]))).to(target, precision)
        return TextTower(network, read_tokenizer(read_weights(known.files["tokenizer"])), load_figures())

    return CompactEncoder(known, target, Tower(load_pictures), Tower(load_texts))


def prepare_picture(image: Image.Image) -> Prepared:
    """Trim the plain background around an object and fit it into a square: uint8 [224, 224, 3]."""
    return fit_to_square(image, side=INPUT_SIZE, margin=MARGIN)

"""`compact`, the model that needs no download: EfficientNet-Lite0 pictures, MiniLM-L6 texts, ImageNet names between them.

A picture's row has two parts, [visual | semantic], so that one inner product serves pictures and texts alike. The visual
part is what the picture network sees; the semantic part says in the text network's space what it shows, as a convex
combination of the embeddings of the class names it found most likely (ConSE: Norouzi et al., 2014, arXiv:1312.5650). A
text's row is [0 | its embedding]. How the figures were chosen, and what they give, is in `models/README.md`.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load as load_safetensors
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from models.base import Prepared
from models.efficientnet_lite import INPUT_SIZE, EfficientNetLite0
from models.minilm import MiniLM, read_tokenizer
from models.spec import KnownModel
from models.torch_encoder import TorchEncoder, Tower, pick_device, precision_on
from models.weights import read_weights

__all__ = ["CompactEncoder", "load_compact", "pad_to_square"]

VISUAL_SHARE = 0.5
CLASSES_COMBINED = 10


@dataclass(frozen=True, slots=True)
class PictureTower:
    """The picture network and the bridge from its classes to texts.

    `class_rows`: float32 [1000, 384], unit rows, the embedding of each class name.
    """

    network: EfficientNetLite0
    class_rows: Tensor


@dataclass(frozen=True, slots=True)
class TextTower:
    """The text network and its tokenizer."""

    network: MiniLM
    tokenizer: Tokenizer


class CompactEncoder(TorchEncoder):
    """Both towers, each loaded at its first use."""

    def __init__(
        self, known: KnownModel, device: torch.device, pictures: Tower[PictureTower], texts: Tower[TextTower]
    ) -> None:
        super().__init__(known.spec, device)
        self.pictures = pictures
        self.texts = texts

    def prepare(self, image: Image.Image) -> Prepared:
        """Fit a picture of any mode into a white square: uint8 [224, 224, 3]."""
        return pad_to_square(image, INPUT_SIZE)

    def _picture_rows(self, pictures: Tensor) -> Tensor:
        with self.pictures.use() as tower:
            features, scores = tower.network(pictures)
        features, scores = features.float(), scores.float()
        best, classes = scores.softmax(dim=1).topk(CLASSES_COMBINED)
        semantic = torch.einsum("nk,nkd->nd", best, tower.class_rows[classes])
        parts = functional.normalize(features) * VISUAL_SHARE**0.5, functional.normalize(semantic) * (1 - VISUAL_SHARE) ** 0.5
        return torch.cat(parts, dim=1)

    def _text_rows(self, texts: Sequence[str]) -> Tensor:
        titles = self._title_rows(texts)
        return functional.pad(titles, (self.spec.dim - titles.shape[1], 0))

    def _title_rows(self, texts: Sequence[str]) -> Tensor:
        with self.texts.use() as tower:
            rows = [torch.tensor(encoding.ids) for encoding in tower.tokenizer.encode_batch_fast(list(texts))]
            tokens = nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self.device)
            lengths = torch.tensor([len(row) for row in rows], device=self.device)
            mask = torch.arange(tokens.shape[1], device=self.device) < lengths[:, None]
            vectors: Tensor = tower.network(tokens, mask)
        return vectors


def load_compact(known: KnownModel, *, device: str = "auto") -> CompactEncoder:
    """Make the encoder; no weights are read until a picture or a text comes.

    Raises:
        UsageError: this machine has no such device.
    """
    target = pick_device(device)
    precision = precision_on(target)

    def load_pictures() -> PictureTower:
        checkpoint = torch.load(io.BytesIO(read_weights(known.files["pictures"])), weights_only=True)
        with np.load(io.BytesIO(read_weights(known.files["bridge"])), allow_pickle=False) as bridge:
            class_rows = torch.from_numpy(bridge["class_rows"].astype(np.float32))
        network = EfficientNetLite0.from_checkpoint(checkpoint).to(target, precision)
        return PictureTower(network, functional.normalize(class_rows).to(target))

    def load_texts() -> TextTower:
        network = MiniLM.from_checkpoint(load_safetensors(read_weights(known.files["texts"]))).to(target, precision)
        return TextTower(network, read_tokenizer(read_weights(known.files["tokenizer"])))

    return CompactEncoder(known, target, Tower(load_pictures), Tower(load_texts))


def pad_to_square(image: Image.Image, side: int) -> Prepared:
    """Shrink or enlarge a picture to fit a square and centre it on white: uint8 [side, side, 3].

    A catalogue's pictures show whole objects, tall and wide ones, mostly on white: cropping would cut them and squashing
    would bend them.
    """
    scale = side / max(image.size)
    width, height = (max(1, round(length * scale)) for length in image.size)
    fitted = image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)
    square = Image.new("RGB", (side, side), "white")
    square.paste(fitted, ((side - width) // 2, (side - height) // 2))
    return np.asarray(square, dtype=np.uint8)

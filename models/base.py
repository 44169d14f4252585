"""The interface of a model as retrieval sees it: the `Encoder` protocol and the description of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.models.vectors import Matrix

__all__ = ["FEW_CHARACTERS", "Encoder", "Modality", "ModelSpec", "Prepared"]

Prepared = NDArray[np.uint8]
"""A picture prepared for a model: uint8, shape [input_size, input_size, 3], RGB."""


FEW_CHARACTERS = 400
"""Texts of up to this many characters in all, as in a query, are encoded on one processor."""


class Modality(StrEnum):
    """A kind of input that a model can read."""

    IMAGE = "image"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The properties of a model that make its vectors comparable; a catalog stores them and refuses any other model.

    `dim` is the length of picture and text rows, and `title_dim` that of `encode_titles` rows (0 if the model reads no
    text). `input_size` is the side of a prepared picture in pixels.
    """

    name: str
    dim: int
    input_size: int
    modalities: frozenset[Modality]
    preprocessing: str
    weights_sha256: str
    title_dim: int = 0


class Encoder(Protocol):
    """A model that is ready to run. It may be called from several threads."""

    @property
    def spec(self) -> ModelSpec:
        """The model's description."""
        ...

    @property
    def shares_processors(self) -> bool:
        """Whether the model runs on the same processors that load pictures, rather than on a GPU."""
        ...

    def use_threads(self, count: int) -> None:
        """Run on `count` processors from now on when called from the current thread; a GPU ignores it."""
        ...

    def prepare(self, image: Image.Image) -> Prepared:
        """Resize and crop an RGB picture to uint8 [input_size, input_size, 3]; cheap enough for a loader thread."""
        ...

    def encode_prepared(self, batch: Sequence[Prepared]) -> Matrix:
        """Encode prepared pictures as unit float32 rows, shape [len(batch), spec.dim]."""
        ...

    def encode_images(self, images: Sequence[Image.Image]) -> Matrix:
        """Encode RGB pictures as unit float32 rows, shape [len(images), spec.dim]."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Encode descriptions of pictures as unit float32 rows in the space of pictures, shape [len(texts), spec.dim].

        Raises:
            ModalityUnsupported: the model reads no text.
        """
        ...

    def encode_texts_and_titles(self, texts: Sequence[str]) -> tuple[Matrix, Matrix]:
        """Return what `encode_texts` and `encode_titles` return, from one run of the text network.

        Raises:
            ModalityUnsupported: the model reads no text.
        """
        ...

    def notices_about(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Return notices, as sentences for the author, about texts that are not read as written, such as truncation."""
        ...

    def encode_titles(self, texts: Sequence[str]) -> Matrix:
        """Encode texts for comparison with other texts, as unit float32 rows of shape [len(texts), spec.title_dim].

        Raises:
            ModalityUnsupported: the model reads no text.
        """
        ...

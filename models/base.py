"""What retrieval knows of a model: a protocol that says what it is and turns pictures and texts into unit rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.models.vectors import Matrix

__all__ = ["Encoder", "Modality", "ModelSpec", "Prepared"]

Prepared = NDArray[np.uint8]
"""One picture as the model takes it: uint8, shape [input_size, input_size, 3], RGB."""


class Modality(StrEnum):
    """What a model can read."""

    IMAGE = "image"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What makes two vectors comparable: a catalog stores this and refuses any other.

    `title_dim` is the length of `encode_titles` rows, 0 where the model reads no text.
    """

    name: str
    dim: int
    input_size: int
    modalities: frozenset[Modality]
    preprocessing: str
    weights_sha256: str
    title_dim: int = 0


class Encoder(Protocol):
    """A model that is ready to run; safe to call from several threads."""

    @property
    def spec(self) -> ModelSpec:
        """What this encoder is."""
        ...

    @property
    def shares_processors(self) -> bool:
        """Whether it runs on the processors that load pictures, too; not so on a GPU."""
        ...

    def use_threads(self, count: int) -> None:
        """Run on so many processors from now on, when the calling thread asks; a GPU does not care."""
        ...

    def prepare(self, image: Image.Image) -> Prepared:
        """Resize and crop one RGB picture to the model's input; cheap enough for a loader thread."""
        ...

    def encode_prepared(self, batch: Sequence[Prepared]) -> Matrix:
        """Turn prepared pictures into unit float32 rows, shape [len(batch), spec.dim]."""
        ...

    def encode_images(self, images: Sequence[Image.Image]) -> Matrix:
        """Turn RGB pictures into unit float32 rows, shape [len(images), spec.dim]."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Turn words that describe pictures into unit float32 rows in the pictures' space, [len(texts), spec.dim].

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
        """Give sentences for the person who wrote these texts, if they are not read as written: cut at a length."""
        ...

    def encode_titles(self, texts: Sequence[str]) -> Matrix:
        """Turn texts into unit float32 rows for comparing texts with texts, shape [len(texts), spec.title_dim].

        Raises:
            ModalityUnsupported: the model reads no text.
        """
        ...

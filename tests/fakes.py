from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

import lookalike.retrieval.core
from lookalike.data.errors import ModalityUnsupported
from lookalike.models import Encoder, Matrix, Modality, ModelSpec, Prepared, unit_rows

WORDS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}


class ColourEncoder:
    """Encodes a picture by the mean colour of its quarters and a text by the colours it names; counts its batches."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.texts: list[str] = []
        self.threads: list[int] = []

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec(
            name="colour",
            dim=12,
            input_size=8,
            modalities=frozenset({Modality.IMAGE, Modality.TEXT}),
            preprocessing="squash-8/1",
            weights_sha256="0" * 64,
            title_dim=3,
        )

    @property
    def shares_processors(self) -> bool:
        return True

    def use_threads(self, count: int) -> None:
        self.threads.append(count)

    def prepare(self, image: Image.Image) -> Prepared:
        return np.asarray(image.resize((8, 8), Image.Resampling.BOX), dtype=np.uint8)

    def encode_prepared(self, batch: Sequence[Prepared]) -> Matrix:
        self.batches.append(len(batch))
        quarters = np.stack(batch).astype(np.float32).reshape(len(batch), 2, 4, 2, 4, 3).mean(axis=(2, 4))
        return unit_rows(quarters.reshape(len(batch), 12) + 1)

    def encode_images(self, images: Sequence[Image.Image]) -> Matrix:
        return self.encode_prepared([self.prepare(image) for image in images])

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        return unit_rows(np.tile(self.encode_titles(texts), (1, 4)))

    def encode_texts_and_titles(self, texts: Sequence[str]) -> tuple[Matrix, Matrix]:
        rows = self.encode_texts(texts)
        counted = len(self.texts)
        titles = self.encode_titles(texts)
        del self.texts[counted:]  # a real model runs its network once for both
        return rows, titles

    def notices_about(self, texts: Sequence[str]) -> tuple[str, ...]:
        return ()

    def encode_titles(self, texts: Sequence[str]) -> Matrix:
        self.texts += texts
        rows = [
            np.sum([WORDS.get(word, (1, 1, 1)) for word in text.lower().split()] or [(1, 1, 1)], axis=0)
            for text in texts
        ]
        return unit_rows(np.array(rows, dtype=np.float32))


class EdgeEncoder(ColourEncoder):
    """Encodes a picture by the steps between neighbouring points; reads no words. Another makes other vectors."""

    def __init__(self, name: str = "edge", seed: int = 0) -> None:
        super().__init__()
        self._name = name
        self._turn = np.random.default_rng(seed).normal(size=(3 * 7 * 7, 16)).astype(np.float32)

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec(
            name=self._name,
            dim=16,
            input_size=8,
            modalities=frozenset({Modality.IMAGE}),
            preprocessing="squash-8/1",
            weights_sha256=self._name.encode().hex().ljust(64, "1"),
        )

    def encode_prepared(self, batch: Sequence[Prepared]) -> Matrix:
        self.batches.append(len(batch))
        pixels = np.stack(batch).astype(np.float32)
        steps = (pixels[:, 1:, 1:] - pixels[:, :-1, 1:] + 2 * (pixels[:, 1:, 1:] - pixels[:, 1:, :-1])) / 255
        return unit_rows(steps.reshape(len(batch), -1) @ self._turn + 0.05)

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        raise ModalityUnsupported(f"This catalogue has no text model: {self._name} reads only pictures.")

    encode_titles = encode_texts


class TurnedEncoder(ColourEncoder):
    """Sees what `ColourEncoder` sees, turned about: the same likenesses, in vectors that are of no use to the other."""

    @property
    def spec(self) -> ModelSpec:
        return replace(super().spec, name="turned", weights_sha256="2" * 64)

    def encode_prepared(self, batch: Sequence[Prepared]) -> Matrix:
        return unit_rows(np.roll(super().encode_prepared(batch)[:, ::-1] ** 2, 5, axis=1))

    def encode_titles(self, texts: Sequence[str]) -> Matrix:
        return super().encode_titles(texts)[:, ::-1].copy()

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        return unit_rows(np.roll(np.tile(ColourEncoder.encode_titles(self, texts), (1, 4))[:, ::-1] ** 2, 5, axis=1))


def fake_models(patch: Any) -> dict[str, Encoder]:  # noqa: ANN401  # pytest's MonkeyPatch, or none
    """Replace the models that catalogs name by fakes, and return the fakes by name."""
    fakes: dict[str, Encoder] = {
        one.spec.name: one for one in (ColourEncoder(), TurnedEncoder(), EdgeEncoder(), EdgeEncoder("edge2", seed=1))
    }
    patch.setattr(lookalike.retrieval.core, "load_encoder", lambda name, **_: fakes[name])
    return fakes

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from models import Matrix, Modality, ModelSpec, Prepared, unit_rows

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

    def notices_about(self, texts: Sequence[str]) -> tuple[str, ...]:
        return ()

    def encode_titles(self, texts: Sequence[str]) -> Matrix:
        self.texts += texts
        rows = [
            np.sum([WORDS.get(word, (1, 1, 1)) for word in text.lower().split()] or [(1, 1, 1)], axis=0)
            for text in texts
        ]
        return unit_rows(np.array(rows, dtype=np.float32))

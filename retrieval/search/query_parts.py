"""From what a person gives, words, pictures, keys and vectors, to the weighted parts of a query."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.data.errors import ItemNotFound, UsageError
from lookalike.data.item import is_text
from lookalike.data.pictures.image_decoder import decode, read_bytes
from lookalike.models import Prepared, unit_rows
from lookalike.retrieval.query import Part
from lookalike.retrieval.search.catalog_models import Encoders
from lookalike.retrieval.search.state import View
from lookalike.retrieval.store.records import Records
from lookalike.retrieval.vector_index import Metric

__all__ = ["WITHOUT_WEIGHT", "QueryImage", "QueryParts"]

QueryImage = Path | str | bytes | Image.Image
"""A picture to search with: a file, its bytes, or a decoded RGB picture."""

TITLE_SHARE = 0.65
"""How much of a text's weight goes to the titles where there are any, the rest to the pictures."""

WITHOUT_WEIGHT = 0.5

_NEGATION = re.compile(r"\b(without|not|no|except|excluding|isn't|aren't)\b", re.IGNORECASE)


@dataclass(slots=True)
class QueryParts:
    """Collects the parts of one query over one view; `looks` is the share of pictures that goes to that space."""

    view: View
    records: Records
    encoders: Encoders
    looks: float = 0.0
    parts: list[Part] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    like_ids: list[int] = field(default_factory=list)

    def add_texts(self, texts: Sequence[str], weight: float) -> None:
        """Add words, against pictures and, where there are any, titles; a negative weight asks for less of them.

        Raises:
            UsageError: the words are not text.
            ModalityUnsupported: the model reads none.
        """
        wanted = [text.strip() for text in texts if text.strip()]
        if not wanted:
            return
        if not all(map(is_text, wanted)):
            raise UsageError("The words have bytes that are not text; give them as UTF-8.")
        encoder = self.encoders.of(self.view.file)
        each = weight / len(wanted)
        kind = "text" if weight > 0 else "without"
        titles = "title" in self.view.file.spaces and self.view.has_vectors("title")
        share = TITLE_SHARE if titles else 0.0
        for vector in encoder.encode_texts(wanted):
            self.parts.append(Part(kind, "image", vector, each * (1 - share)))
        if titles:
            name = "title" if weight > 0 else "without title"
            for vector in encoder.encode_titles(wanted):
                self.parts.append(Part(name, "title", vector, each * share))
        self.notices += [one for one in encoder.notices_about(wanted) if one not in self.notices]
        if weight > 0 and any(_NEGATION.search(text) for text in wanted):
            self.notices.append('Words such as "without" or "not" are not understood; give what to avoid on its own.')

    def add_images(self, images: Sequence[QueryImage], weight: float) -> None:
        """Add pictures.

        Raises:
            NotAPicture: one of them is none.
        """
        if not images:
            return
        encoders = {space: self.encoders.of(self.view.file, space) for space, _ in self._shares()}
        side = max(encoder.spec.input_size for encoder in encoders.values())
        prepared: dict[str, list[Prepared]] = {space: [] for space in encoders}
        for image in images:  # one after the other, or all would be in memory in their full size
            rgb = (image if isinstance(image, Image.Image) else _decode(image, side)).convert("RGB")
            for space, encoder in encoders.items():
                prepared[space].append(encoder.prepare(rgb))
        for space, share in self._shares():
            for vector in encoders[space].encode_prepared(prepared[space]):
                self.parts.append(Part(space, space, vector, share * weight / len(images)))

    def add_keys(self, keys: Sequence[str], weight: float) -> None:
        """Add items of the catalog by key: the mean of an item's vectors stands for it, and it is not found itself.

        Raises:
            ItemNotFound: there is no such item.
            UsageError: an item has no vector.
        """
        rows = self.records.items_of_keys(keys, as_of=self.view.seq)
        for key in keys:
            if key not in rows:
                raise ItemNotFound(key)
            found = {space: self.view.vectors_of(space, rows[key].id) for space in self.view.file.picture_spaces}
            shares = [(space, share) for space, share in self._shares() if len(found[space])]
            shares = shares or [(space, 1.0) for space, vectors in found.items() if len(vectors)]
            if not shares:
                raise UsageError(f"The item {key!r} has no picture to compare with.")
            for space, share in shares:
                mean = found[space].mean(axis=0, keepdims=True)
                vector = unit_rows(mean)[0] if self.view.file.spaces[space].metric is Metric.COSINE else mean[0]
                name = "looks" if space == "looks" else "like"
                self.parts.append(Part(name, space, vector, share * weight / len(keys)))
            self.like_ids.append(rows[key].id)

    def add_vectors(self, vectors: NDArray[np.float32], weight: float) -> None:
        """Add ready vectors, float32 [count, dim], unit rows where the metric is the cosine."""
        for vector in vectors:
            self.parts.append(Part("vector", "image", vector, weight / len(vectors)))

    def _shares(self) -> list[tuple[str, float]]:
        """Say which spaces pictures are compared in, and by what share of their weight."""
        shares = [("image", 1 - self.looks), ("looks", self.looks)]
        return [(space, share) for space, share in shares if share]


def _decode(image: Path | str | bytes, side: int) -> Image.Image:
    content = image if isinstance(image, bytes) else read_bytes(Path(image))
    return decode(content, min_side=side).rgb

"""Turns the words, pictures, keys and vector of a request into the weighted parts of a query."""

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
from lookalike.data.pictures.image_decoder import decode, naming, read_bytes
from lookalike.models import Prepared, unit_rows
from lookalike.retrieval.input_checks import checked_vector
from lookalike.retrieval.query import Query, QueryImage
from lookalike.retrieval.search.catalog_models import CatalogModels
from lookalike.retrieval.search.state import State
from lookalike.retrieval.spaces.space import SpaceName
from lookalike.retrieval.store.records import Records
from lookalike.retrieval.vector_index import Metric

__all__ = ["Part", "QueryParts"]

_TITLE_SHARE = 0.65
"""The share of a text's weight that goes to the titles, where there are any. The rest goes to the pictures."""

_WITHOUT_WEIGHT = 0.5

_NEGATION = re.compile(r"\b(without|not|no|except|excluding|isn't|aren't)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that hits should be like or, with a negative weight, unlike.

    `name` is the name of its score in `Hit.scores`; `vector` is float32 [dim] in the space named `space`.
    """

    name: str
    space: str
    vector: NDArray[np.float32]
    weight: float = 1.0


@dataclass(slots=True)
class QueryParts:
    """The parts of a query, notices about it, and the ids of the items that it names, which are not hits."""

    parts: list[Part] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    like_ids: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, query: Query, state: State, records: Records, models: CatalogModels) -> QueryParts:
        """Encode the contents of a query with the models of a state.

        Raises:
            UsageError: the words are not text, the vector does not fit, or an item has no vector.
            ItemNotFound: no item has one of the keys in `like`.
            NotAPicture: the bytes given as a picture are not one.
            ModalityUnsupported: the model cannot encode part of the query.
        """
        built = cls()
        if query.vector is not None and not (query.text or query.image or query.like or query.without):
            space = state.file.spaces[SpaceName.IMAGE]
            built.parts.append(Part("vector", SpaceName.IMAGE, checked_vector(query.vector, space)[0]))
            return built
        appearance = _appearance_share(query, state)
        words = any(map(str.strip, query.text))
        pictures = bool(query.image or query.like or query.vector is not None)
        of_words, of_pictures = (query.balance, 1 - query.balance) if words and pictures else (1.0, 1.0)
        built._add_texts(query.text, of_words, state, models)
        built._add_images(query.image, of_pictures, appearance, state, models)
        built._add_items(query.like, of_pictures, appearance, state, records)
        if query.vector is not None:
            vector = checked_vector(query.vector, state.file.spaces[SpaceName.IMAGE])[0]
            built.parts.append(Part("vector", SpaceName.IMAGE, vector, of_pictures))
        built._add_texts(query.without, -_WITHOUT_WEIGHT, state, models)
        return built

    def _add_texts(self, texts: Sequence[str], weight: float, state: State, models: CatalogModels) -> None:
        """Add words, to be compared with pictures and, where there are any, with titles."""
        wanted = [text.strip() for text in texts if text.strip()]
        if not wanted:
            return
        if not all(map(is_text, wanted)):
            raise UsageError("The words have bytes that are not text; give them as UTF-8.")
        encoded = models.read(state.file, wanted)
        each = weight / len(wanted)
        titles = SpaceName.TITLE in state.file.spaces and state.has_vectors(SpaceName.TITLE)
        share = _TITLE_SHARE if titles else 0.0
        of_pictures, of_titles = ("text", "title") if weight > 0 else ("without", "without title")
        self.parts += [Part(of_pictures, SpaceName.IMAGE, one.picture, each * (1 - share)) for one in encoded]
        if titles:
            self.parts += [Part(of_titles, SpaceName.TITLE, one.title, each * share) for one in encoded]
        self.notices += [
            notice for notice in dict.fromkeys(n for one in encoded for n in one.notices) if notice not in self.notices
        ]
        if weight > 0 and any(_NEGATION.search(text) for text in wanted):
            self.notices.append('Words such as "without" or "not" are not understood; give words to avoid separately.')

    def _add_images(
        self, images: Sequence[QueryImage], weight: float, appearance: float, state: State, models: CatalogModels
    ) -> None:
        """Add pictures. They are decoded and prepared one at a time, so that only one is in memory at full size."""
        if not images:
            return
        shares = _shares(appearance)
        encoders = {space: models.of(state.file, space) for space, _ in shares}
        side = max(encoder.spec.input_size for encoder in encoders.values())
        prepared: dict[str, list[Prepared]] = {space: [] for space in encoders}
        for image in images:
            rgb = (image if isinstance(image, Image.Image) else _decode(image, side)).convert("RGB")
            for space, encoder in encoders.items():
                prepared[space].append(encoder.prepare(rgb))
        for space, share in shares:
            for vector in encoders[space].encode_prepared(prepared[space]):
                self.parts.append(Part(space.name.lower(), space, vector, share * weight / len(images)))

    def _add_items(self, keys: Sequence[str], weight: float, appearance: float, state: State, records: Records) -> None:
        """Add items by key, each represented by the mean of its vectors."""
        rows = records.items_of_keys(keys, as_of=state.seq) if keys else {}
        for key in keys:
            if key not in rows:
                raise ItemNotFound(key)
            found = {space: state.vectors_of(space, rows[key].id) for space in state.file.picture_spaces}
            shares = [(space, share) for space, share in _shares(appearance) if len(found[space])]
            shares = shares or [(space, 1.0) for space, vectors in found.items() if len(vectors)]
            if not shares:
                raise UsageError(f"The item {key!r} has no picture to compare with.")
            for space, share in shares:
                mean = found[space].mean(axis=0, keepdims=True)
                vector = unit_rows(mean)[0] if state.file.spaces[space].metric is Metric.COSINE else mean[0]
                name = "appearance" if space == SpaceName.APPEARANCE else "like"
                self.parts.append(Part(name, space, vector, share * weight / len(keys)))
            self.like_ids.append(rows[key].id)


def _appearance_share(query: Query, state: State) -> float:
    """Return the share of a picture's weight that goes to the space for appearance, by default all of it."""
    if SpaceName.APPEARANCE in state.file.spaces:
        return 1.0 if query.appearance is None else query.appearance
    if query.appearance is not None:
        raise UsageError(
            "This catalogue has no second model for appearance, so no share can go to it.",
            remedy="Add one with: lookalike reencode CATALOG --appearance resnet50",
        )
    return 0.0


def _shares(appearance: float) -> list[tuple[SpaceName, float]]:
    """Return the spaces that pictures are compared in, each with its share of their weight."""
    shares = [(SpaceName.IMAGE, 1 - appearance), (SpaceName.APPEARANCE, appearance)]
    return [(space, share) for space, share in shares if share]


def _decode(image: Path | str | bytes, side: int) -> Image.Image:
    if isinstance(image, bytes):
        return decode(image, min_side=side).rgb
    with naming(image):
        return decode(read_bytes(Path(image)), min_side=side).rgb

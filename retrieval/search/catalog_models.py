"""The models of a catalog, each loaded on first use and kept while one of its spaces uses it."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookalike.data.errors import LookalikeError
from lookalike.models import Encoder
from lookalike.retrieval.files.forks import ForkSafeLock, needs_threads
from lookalike.retrieval.spaces.catalog_file import CatalogFile, ModelIdentity
from lookalike.retrieval.spaces.space_sets import SpaceSets

__all__ = ["CatalogModels", "EncodedText"]

REMEMBERED_TEXTS = 512
"""The number of texts whose vectors are cached."""

_LONGEST_REMEMBERED = 1_000
"""Longer texts, in characters, are encoded again each time."""

log = logging.getLogger("lookalike")


class EncodedText(NamedTuple):
    """A text encoded by a model.

    `picture` is the unit row to compare with pictures, float32 [dim], `title` the one to compare with titles, float32
    [title_dim], and `notices` are sentences for the person who wrote the text.
    """

    picture: NDArray[np.float32]
    title: NDArray[np.float32]
    notices: tuple[str, ...]


class _Waited(threading.local):
    """Seconds that each thread has waited for models."""

    seconds = 0.0


class CatalogModels:
    """Loads and keeps the encoders of spaces, for any thread. `load` loads the encoder of a `ModelIdentity`."""

    def __init__(self, load: Callable[[ModelIdentity], Encoder]) -> None:
        self._load = load
        self._lock = ForkSafeLock()
        self._loading = ForkSafeLock()
        self._waited = _Waited()
        self._kept: dict[tuple[str, ...], Encoder] = {}
        self._texts: OrderedDict[tuple[tuple[str, ...], str], EncodedText] = OrderedDict()

    def of(self, file: CatalogFile, space: str = "image") -> Encoder:
        """Return the model that encodes the vectors of a space.

        Raises:
            ModalityUnsupported: the catalog holds ready vectors and has no model.
            ModelMismatch: the model on this machine is not the one that made the catalog.
            WeightsUnavailable: its weights are not on this machine.
        """
        return self.by(file.made(space))

    def by(self, made: ModelIdentity) -> Encoder:
        """Return the model with this identity."""
        needs_threads()
        encoder = self._kept.get(_name(made))
        if encoder is not None:
            return encoder
        started = time.perf_counter()
        try:
            with self._loading:  # searches with other models continue meanwhile
                encoder = self._kept.get(_name(made))
                if encoder is None:
                    encoder = self._load(made)
                    made.check(encoder.spec)
                    self._keep(made, encoder)
                return encoder
        finally:
            self._waited.seconds += time.perf_counter() - started

    @property
    def waited_s(self) -> float:
        """Seconds that this thread has waited for models to be loaded so far."""
        return self._waited.seconds

    def read(self, file: CatalogFile, texts: Sequence[str]) -> list[EncodedText]:
        """Encode texts with the model of a catalogue; the last few hundred texts are cached.

        Raises:
            ModalityUnsupported: the catalogue has no model, or its model reads no text.
        """
        identity = file.made("image")
        encoder, name = self.by(identity), _name(identity)
        found = {}
        with self._lock:
            for text in texts:
                if (known := self._texts.get((name, text))) is not None:
                    self._texts.move_to_end((name, text))
                    found[text] = known
        new = list(dict.fromkeys(text for text in texts if text not in found))
        if new:
            pictures, titles = encoder.encode_texts_and_titles(new)
            for text, picture, title in zip(new, pictures, titles, strict=True):
                found[text] = EncodedText(picture, title, encoder.notices_about([text]))
            with self._lock:
                for text in new:
                    if len(text) <= _LONGEST_REMEMBERED:
                        self._texts[name, text] = found[text]
                while len(self._texts) > REMEMBERED_TEXTS:
                    self._texts.popitem(last=False)
        return [found[text] for text in texts]

    def add(self, encoder: Encoder) -> None:
        """Keep a model that is loaded already."""
        self._keep(ModelIdentity.by(encoder.spec), encoder)

    def follow(self, sets: SpaceSets) -> None:
        """Drop the models that no space uses any more, and load upcoming ones in advance if models are in use here.

        They are loaded in the background, so that the first search after a change does not wait for them.
        """
        upcoming = [] if sets.upcoming is None else _models(sets.upcoming)
        names = {_name(made) for made in [*_models(sets.active), *upcoming]}
        with self._lock:
            self._kept = {name: encoder for name, encoder in self._kept.items() if name in names}
            coming = [made for made in upcoming if _name(made) not in self._kept]
        if coming and self._kept and sets.built:
            threading.Thread(target=self._load_ahead, args=(coming,), name="load-ahead", daemon=True).start()

    def _load_ahead(self, coming: Sequence[ModelIdentity]) -> None:
        for made in coming:
            try:
                self.by(made)
            except LookalikeError as error:  # a search with this model raises the error again
                log.warning(
                    "The model %s, which the catalog is about to change to, cannot be used: %s", made.name, error
                )

    def _keep(self, made: ModelIdentity, encoder: Encoder) -> None:
        with self._lock:
            self._kept = {**self._kept, _name(made): encoder}


def _models(file: CatalogFile) -> list[ModelIdentity]:
    models = [(file.model, file.weights), (file.looks_model, file.looks_weights)]
    return [ModelIdentity(facts, weights) for facts, weights in models if facts is not None]


def _name(made: ModelIdentity) -> tuple[str, ...]:
    return tuple(made.facts[name] for name in sorted(made.facts))

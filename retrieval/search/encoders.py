"""The models of a catalog, each loaded at first use and kept as long as one of its spaces is made by it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from models import Encoder
from retrieval.catalog_file import CatalogFile, Made

__all__ = ["Encoders"]


class Encoders:
    """Gives the encoder of a space; any thread may ask. `load` makes the one that made some vectors."""

    def __init__(self, load: Callable[[Made], Encoder]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, ...], Encoder] = {}

    def of(self, file: CatalogFile, space: str = "image") -> Encoder:
        """Return the model that makes the vectors of a space.

        Raises:
            ModalityUnsupported: the catalog holds ready vectors and has no model.
            ModelMismatch: the model on this machine is not the one that made the catalog.
            WeightsUnavailable: its weights are not on this machine.
        """
        return self.by(file.made(space))

    def by(self, made: Made) -> Encoder:
        """Return the model that made some vectors."""
        with self._lock:
            encoder = self._kept.get(_name(made))
            if encoder is None:
                encoder = self._load(made)
                made.check(encoder.spec)
                self._kept[_name(made)] = encoder
            return encoder

    def add(self, encoder: Encoder) -> None:
        """Keep a model that is loaded already."""
        with self._lock:
            self._kept[_name(Made.by(encoder.spec))] = encoder

    def keep_only(self, file: CatalogFile) -> None:
        """Let go of the models that make no space of a catalog any more."""
        made = [facts for facts in (file.model, file.looks_model) if facts is not None]
        names = {_name(Made(facts)) for facts in made}
        with self._lock:
            self._kept = {name: encoder for name, encoder in self._kept.items() if name in names}


def _name(made: Made) -> tuple[str, ...]:
    return tuple(made.facts[name] for name in sorted(made.facts))

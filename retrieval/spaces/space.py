"""A space: a named set of vectors that one model makes and one metric compares."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lookalike.retrieval.vector_index import Metric

__all__ = ["Space", "SpaceName"]


class SpaceName(StrEnum):
    """The spaces that a catalogue can have, under the names that its files use."""

    IMAGE = "image"
    """One vector for each picture; every catalogue has this space."""
    TITLE = "title"
    """One vector for each title, where the model reads texts."""
    APPEARANCE = "looks"
    """One vector for each picture by a second model, which compares pictures better than the first."""


@dataclass(frozen=True, slots=True)
class Space:
    """A named set of vectors of one kind: all of one dimension, compared by one metric.

    `stored` is the name of its rows in the records and of its files in a generation. It is never reused for the vectors
    of another model: after a change of models, a space of the same name has other stored rows.
    """

    name: str
    dim: int
    metric: Metric
    stored: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", str(self.name))  # a plain text, as it is written to files
        object.__setattr__(self, "stored", self.stored or self.name)

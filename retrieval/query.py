"""What a catalog is asked and what it gives back: parts to be like or unlike; hits, results, items, facts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from lookalike.data.errors import UsageError
from lookalike.data.item import Value
from lookalike.retrieval.stored_rows import StoredImage

__all__ = ["EXACT", "MAX_LIMIT", "CatalogInfo", "Hit", "Page", "Part", "Results", "StoredItem", "recall_of"]

MAX_LIMIT = 10_000
EXACT = 1.0
"""The recall that only an exhaustive search has."""


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that hits should be like, or with a negative weight unlike.

    `name` is what its score is reported under; `vector` is float32 [dim] in the space named `space`.
    """

    name: str
    space: str
    vector: NDArray[np.float32]
    weight: float = 1.0


class Hit(NamedTuple):
    """One item found.

    `score` is the similarity for a query of one part; for several parts it is their weighted mean in standard
    deviations above what the catalog's vectors score on average. `scores` has each part's own similarity. `image` is
    the picture that matched, as the feed named it, and `image_id` the opaque name of its thumbnail.
    """

    key: str
    score: float
    scores: Mapping[str, float]
    image: str | None
    image_id: str | None
    fields: Mapping[str, Value]


class Page(NamedTuple):
    """Hits as columns: quick to make, for it is not known which of them will be looked at.

    `parts` has each part's similarities, NaN where the item has no vector for it; `fields` the values of each field.
    """

    keys: list[str]
    scores: list[float]
    parts: Mapping[str, list[float]]
    images: list[StoredImage | None] | None
    fields: Mapping[str, Sequence[Value]]

    def hit(self, place: int) -> Hit:
        """Make one hit."""
        image = None if self.images is None else self.images[place]
        return Hit(
            self.keys[place],
            self.scores[place],
            {name: score for name, scores in self.parts.items() if (score := scores[place]) == score},
            None if image is None else image.source,
            None if image is None else image.sha256.hex(),
            {name: values[place] for name, values in self.fields.items()},
        )


@dataclass(frozen=True, slots=True)
class Results(Sequence[Hit]):
    """Hits, best first, and how they were found.

    `total` is how many items satisfy the filter; `exact` says that no better item was passed over; `plan` says in words
    how the search went; `notices` are sentences for the person who asked.
    """

    page: Page
    total: int
    exact: bool
    plan: str
    took_ms: float
    notices: tuple[str, ...] = ()

    @property
    def hits(self) -> tuple[Hit, ...]:
        """All hits."""
        return tuple(self)

    @property
    def keys(self) -> list[str]:
        """The keys of the hits, best first."""
        return self.page.keys

    @property
    def scores(self) -> list[float]:
        """The scores of the hits, best first."""
        return self.page.scores

    def values(self, field: str) -> Sequence[Value]:
        """Give the values of a field that the hits carry, best first; quicker than from one hit after the other."""
        if field not in self.page.fields:
            raise UsageError(f"The hits carry no field {field!r}, but {', '.join(self.page.fields) or 'none'}.")
        return self.page.fields[field]

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Hit, ...]: ...
    def __getitem__(self, index: int | slice) -> Hit | tuple[Hit, ...]:
        if isinstance(index, slice):
            return tuple(map(self.page.hit, range(*index.indices(len(self)))))
        return self.page.hit(index)

    def __len__(self) -> int:
        return len(self.page.keys)

    def __iter__(self) -> Iterator[Hit]:
        return map(self.page.hit, range(len(self.page.keys)))


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One item as the catalog has it."""

    key: str
    title: str | None
    fields: Mapping[str, Value]
    images: tuple[StoredImage, ...]


@dataclass(frozen=True, slots=True)
class CatalogInfo:
    """What a catalog is and how much it holds; `tail` are items committed since the generation was built.

    `learned_from`: number of vectors each space's index was trained on; spaces that are searched exactly are left out.
    `stored_as`: the type, float16 or float32, that each space's vectors are searched in. It is float32 if any row needs
    it: under l2 any that float16 does not hold exactly, under ip one that it holds badly, under the cosine none.
    `model` reads words and titles, and pictures too unless there is another for their `looks`. `upcoming` names the
    models of a set of vectors that is being made beside, `previous` those of the set before.
    """

    items: int
    vectors: int
    model: str | None
    dim: int
    metric: str
    generation: str | None
    tail: int
    bytes_on_disk: int
    spaces: Mapping[str, int]
    fields: Mapping[str, str]
    rejected: int
    learned_from: Mapping[str, int]
    looks: str | None = None
    upcoming: str | None = None
    previous: str | None = None
    stored_as: Mapping[str, str] = field(default_factory=dict)


def recall_of(wanted: float | str) -> float:
    """Read a wanted recall: "exact", or a share above 0 and at most 1.

    Raises:
        UsageError: it is neither.
    """
    if type(wanted) is float and 0 < wanted <= 1:
        return wanted
    if isinstance(wanted, str) and wanted == "exact":
        return EXACT
    try:
        share = 0.0 if isinstance(wanted, bool) else float(wanted)
    except (ValueError, TypeError, OverflowError):
        share = 0.0
    if not 0 < share <= 1:
        raise UsageError(f"The recall is {wanted!r}; give a share such as 0.95, or exact.")
    return share

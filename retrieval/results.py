"""The answer to a query: hits, best first, as a sequence and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from lookalike.data.counted import counted
from lookalike.data.errors import UsageError
from lookalike.data.item import Value
from lookalike.retrieval.stored_rows import StoredImage

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Hit", "Page", "Results"]

_SHOWN_HITS = 10
_SHOWN_FIELDS = 4
_CELL = 28


class Hit(NamedTuple):
    """One item found.

    `score` is the similarity for a query of one part. For several parts it is their weighted mean, in standard
    deviations above the average score of the catalog's vectors. `scores` has each part's own similarity. `image` is the
    picture that matched, as the feed named it, and `image_id` the opaque name of its thumbnail.

    >>> for hit in catalog.search("shoes", limit=2):
    ...     print(hit.key, hit.image, hit.fields["price"])
    tennis-shoes pictures/tennis-shoes-2.webp 9.8
    hiking-boot pictures/hiking-boot.webp 13.3
    """

    key: str
    score: float
    scores: Mapping[str, float]
    image: str | None
    image_id: str | None
    fields: Mapping[str, Value]


class Page(NamedTuple):
    """Hits as columns, which are quicker to build than objects that may never be read.

    `parts` has each part's similarities, NaN where the item has no vector for it; `fields` has the values of each
    field.
    """

    keys: list[str]
    scores: list[float]
    parts: Mapping[str, list[float]]
    images: list[StoredImage | None] | None
    fields: Mapping[str, Sequence[Value]]

    def hit(self, place: int) -> Hit:
        """Return one hit, by its place on the page."""
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

    `total` is the number of items that satisfy the filter, `exact` whether no better item can have been missed, `plan`
    a description of the search, `took_ms` its time in milliseconds, and `notices` are sentences for the person who
    searched.

    >>> results = catalog.search(filter="price < 5", fields=["price"])
    >>> results
    Results(4 of 4 items, exact, ... ms)
    key            score  image                        price
    cherry         0.000  pictures/cherry.webp         1.450
    coffee-mug     0.000  pictures/coffee-mug.webp     4.900
    cup-of-coffee  0.000  pictures/cup-of-coffee.webp  1.650
    red-apple      0.000  pictures/red-apple.webp      4.200
    >>> len(results), results[0].key, results.total, results.exact
    (4, 'cherry', 4, True)
    """

    page: Page
    total: int
    exact: bool
    plan: str
    took_ms: float
    notices: tuple[str, ...] = ()

    @property
    def hits(self) -> tuple[Hit, ...]:
        """All hits.

        >>> [hit.fields["title"] for hit in catalog.search("shoes", limit=2).hits]
        ['Tennis Shoes', 'Hiking Boot']
        """
        return tuple(self)

    @property
    def keys(self) -> list[str]:
        """The keys of the hits, best first.

        >>> catalog.search("red fruit", limit=2).keys
        ['red-apple', 'cherry']
        """
        return self.page.keys

    @property
    def scores(self) -> list[float]:
        """The scores of the hits, best first.

        >>> first, second = catalog.search("red fruit", limit=2).scores
        >>> first > second
        True
        """
        return self.page.scores

    def values(self, field: str) -> Sequence[Value]:
        """Return a field's values of all hits, best first, which is faster than reading them hit by hit.

        >>> catalog.search("red fruit", limit=2).values("price")
        [4.2, 1.45]

        Raises:
            UsageError: the hits do not carry the field.
        """
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

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return one dict for each hit: key, score, the score of each part as `score_NAME`, image, and the fields.

        A field named like one of these is under `field_NAME`.

        >>> catalog.search(filter="price < 2", fields=["price"]).to_dicts()[0]
        {'key': 'cherry', 'score': 0.0, 'image': 'pictures/cherry.webp', 'price': 1.45}
        """
        columns = self._columns()
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def to_polars(self) -> pl.DataFrame:
        """Return the hits as a Polars table with the columns of `to_dicts`.

        >>> table = catalog.search("red fruit", limit=2, fields=["price"]).to_polars()
        >>> table.columns
        ['key', 'score', 'score_text', 'score_title', 'image', 'price']
        """
        import polars as pl

        return pl.DataFrame({name: list(values) for name, values in self._columns().items()}, strict=False)

    def _columns(self) -> dict[str, Sequence[Any]]:
        page = self.page
        columns: dict[str, Sequence[Any]] = {"key": page.keys, "score": page.scores}
        for name, scores in page.parts.items():
            columns[f"score_{name}"] = [None if score != score else score for score in scores]
        if page.images is not None:
            columns["image"] = [None if image is None else image.source for image in page.images]
        for name, values in page.fields.items():
            columns[f"field_{name}" if name in columns else name] = values
        return columns

    def __repr__(self) -> str:
        """Return a small table of the best hits."""
        certainty = "exact" if self.exact else "approximate"
        head = f"{len(self)} of {counted(self.total, 'item')}, {certainty}, {self.took_ms:.1f} ms"
        if not len(self):
            return f"Results({head})"
        columns = {name: values for name, values in self._columns().items() if not name.startswith("score_")}
        names = list(columns)[: 3 + _SHOWN_FIELDS]
        rows = [names] + [
            [_cell(columns[name][place]) for name in names] for place in range(min(len(self), _SHOWN_HITS))
        ]
        widths = [max(len(row[place]) for row in rows) for place in range(len(names))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        more = [f"... {len(self) - _SHOWN_HITS} more"] if len(self) > _SHOWN_HITS else []
        return "\n".join([f"Results({head})", *lines, *more])


def _cell(value: object) -> str:
    text = "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= _CELL else text[: _CELL - 3] + "..."

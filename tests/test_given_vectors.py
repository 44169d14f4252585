"""What callers give as vectors: arrays, tensors, columns and lists of any library, or a sentence why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from lookalike import Catalog
from lookalike.data.errors import UsageError

DIM = 4
ROWS = np.random.default_rng(6).standard_normal((5, DIM)).astype(np.float32)
KEYS = list("abcde")

KINDS: dict[str, Callable[[np.ndarray[Any, np.dtype[np.float32]]], Any]] = {
    "lists": lambda rows: rows.tolist(),
    "tuple of arrays": lambda rows: tuple(rows),
    "float64": lambda rows: rows.astype(np.float64),
    "column order": np.asfortranarray,
    "strided": lambda rows: np.repeat(rows, 2, axis=-1)[..., ::2],
    "read only": lambda rows: np.frombuffer(rows.tobytes(), np.float32).reshape(rows.shape),
    "masked, nothing hidden": lambda rows: np.ma.array(rows, mask=False),
    "objects": lambda rows: rows.astype(object),
    "decimals": lambda rows: [[Decimal(float(value)) for value in row] for row in np.atleast_2d(rows)],
    "tensor": torch.tensor,
    "tensor with a gradient": lambda rows: torch.tensor(rows, requires_grad=True),
    "frame of pandas": lambda rows: pd.DataFrame(np.atleast_2d(rows)),
    "column of arrays of pandas": lambda rows: pd.Series(list(np.atleast_2d(rows))),
    "frame of polars": lambda rows: pl.DataFrame(np.atleast_2d(rows)),
    "column of polars": lambda rows: pl.Series(np.atleast_2d(rows).tolist(), dtype=pl.Array(pl.Float32, DIM)),
}
REFUSED: dict[str, tuple[Any, str]] = {
    "masked row": (np.ma.array(ROWS[:1], mask=True), "Row 0 of the .* has a masked value"),
    "texts": ([["1", "2", "3", "4"]], "not an array of numbers: its type is"),
    "complex": (ROWS[:1] + 1j, "not an array of numbers: its type is"),
    "dates": (np.zeros((1, DIM), "datetime64[s]"), "not an array of numbers: its type is"),
    "a mapping": ({"a": 1}, "not an array of numbers"),
    "nothing": (None, "not an array of numbers"),
    "ragged": ([[1, 2, 3, 4], [1]], "not an array of numbers"),
    "too deep": (ROWS[None], "The shape"),
    "of another length": (ROWS[:1, :3], "The shape"),
}


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog.create(tmp_path / "shop", dim=DIM) as made:
        made.add_vectors(KEYS, ROWS)
        yield made


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_of_every_kind_are_those_of_plain_arrays(catalog: Catalog, tmp_path: Path, kind: str) -> None:
    with Catalog.create(tmp_path / "other", dim=DIM) as other:
        other.add_vectors(KEYS, KINDS[kind](ROWS))
        for query in ROWS:
            expected = catalog.search(vector=query, recall="exact")
            assert other.search(vector=query, recall="exact").scores == expected.scores
            assert catalog.search(vector=KINDS[kind](query)).keys == expected.keys
            assert catalog.search(vector=KINDS[kind](query), offset=1).keys == expected.keys[1:]
        many = catalog.search_many(KINDS[kind](ROWS))
        assert [one.keys for one in many] == [one.keys for one in catalog.search_many(ROWS)]


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_vector_is_refused_in_words_and_nothing_is_written(catalog: Catalog, kind: str) -> None:
    given, words = REFUSED[kind]
    with pytest.raises(UsageError, match=words):
        catalog.add_vectors(["x"], given)
    if given is not None:
        with pytest.raises(UsageError, match=words):
            catalog.search(vector=given)
        with pytest.raises(UsageError, match=words):
            catalog.search(vector=given, offset=1)
    with pytest.raises(UsageError, match=words):
        catalog.search_many(given)
    assert catalog.count() == 5


def test_no_vectors_are_nothing_to_add_and_nothing_to_answer(catalog: Catalog) -> None:
    before = catalog.log(1)[0].seq
    kinds: list[Any] = [[], np.empty((0, DIM)), torch.empty(0, DIM)]
    for nothing in kinds:
        assert catalog.add_vectors([], nothing) == before
        assert catalog.search_many(nothing) == []
    with pytest.raises(UsageError, match="The query is 0 vectors"):
        catalog.search(vector=[])


def test_a_search_takes_one_vector_and_does_not_merge_two(catalog: Catalog) -> None:
    for offset in (0, 1):
        with pytest.raises(
            UsageError, match="The query is 2 vectors; a search takes one. For several, use search_many"
        ):
            catalog.search(vector=ROWS[:2], offset=offset)
    assert catalog.search(vector=ROWS[:1]).keys == catalog.search(vector=ROWS[0]).keys

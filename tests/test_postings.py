from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.data.errors import CatalogDamaged
from lookalike.retrieval.generations.postings import Postings
from tests.filter_oracle import STRINGS

lists = st.lists(st.none() | st.lists(st.sampled_from(STRINGS), max_size=4), max_size=12)
asked = st.lists(st.sampled_from([*STRINGS, "x"]), max_size=4)


def series(values: list[list[str] | None]) -> pl.Series:
    return pl.Series(values, dtype=pl.List(pl.String))


@pytest.mark.slow
@settings(max_examples=400, deadline=None, derandomize=True)
@given(lists, asked)
def test_rows_are_found_by_what_their_lists_have(values: list[list[str] | None], wanted: list[str]) -> None:
    postings = Postings.of(series(values))
    assert postings is not None
    some = [one is not None and any(text in one for text in wanted) for one in values]
    every = [one is not None and all(text in one for text in wanted) for one in values]
    assert postings.having(wanted, None, every=False).tolist() == some
    assert postings.having(wanted, None, every=True).tolist() == every
    assert postings.missing(None).tolist() == [one is None for one in values]
    rows = np.arange(0, len(values), 2)
    assert postings.having(wanted, rows, every=True).tolist() == every[::2]
    assert postings.missing(rows).tolist() == [one is None for one in values[::2]]


def test_postings_are_written_and_opened(tmp_path: Path) -> None:
    values = [["b", "a", "b"], None, [], ["a"]]
    made = Postings.of(series(values))
    assert made is not None
    made.write(tmp_path, "column1")
    opened = Postings.open(tmp_path, "column1")
    assert opened is not None
    assert opened.count == 4
    assert opened.having(["a"], None, every=False).tolist() == [True, False, False, True]
    assert opened.having(["a", "b"], None, every=True).tolist() == [True, False, False, False]
    assert opened.missing(None).tolist() == [False, True, False, False]
    assert Postings.open(tmp_path, "column2") is None
    np.save(tmp_path / "column1.postings.npy", np.zeros(2, dtype=np.uint32))
    with pytest.raises(CatalogDamaged):
        Postings.open(tmp_path, "column1")


def test_of_too_many_values_there_are_none() -> None:
    assert Postings.of(series([[str(number)] for number in range(50_001)])) is None

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lookalike.data.errors import CatalogDamaged
from lookalike.retrieval.generations.ranks import Ranks
from tests.filter_oracle import FLOATS, FLOATS_AT_BORDERS, INTS, SIGNS, STRINGS, WHOLE_AT_BORDERS

Truth = Callable[[Any, Any], bool]
Table = tuple[list[Any], Any, int, list[int] | None]

signs = st.sampled_from(list(SIGNS))
steps = st.sampled_from([2, 3, 4, 8, 100])


def tables(values: st.SearchStrategy[Any], asked: st.SearchStrategy[Any]) -> st.SearchStrategy[Table]:
    """Values of a column, some of them none, with what is asked for, the most steps, and rows, or all."""
    columns = st.lists(st.none() | values, max_size=40)
    return columns.flatmap(
        lambda column: st.tuples(
            st.just(column),
            asked,
            steps,
            st.none()
            | st.lists(st.integers(0, max(len(column) - 1, 0)), max_size=len(column), unique=True).map(sorted),
        )
    )


def numbers_of(values: Sequence[Any], dtype: type) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    known = np.array([value is not None for value in values], dtype=np.bool_)
    filled: NDArray[Any] = np.array([0 if value is None else value for value in values], dtype=dtype)
    return filled, None if known.all() else known


def looks(values: Sequence[Any], passes: Callable[[Any], bool]) -> Callable[[NDArray[np.int64]], NDArray[np.bool_]]:
    return lambda rows: np.array([values[row] is not None and passes(values[row]) for row in rows], dtype=np.bool_)


def as_numpy(rows: list[int] | None) -> NDArray[np.int64] | None:
    return None if rows is None else np.array(rows, dtype=np.int64)


def expected(values: Sequence[Any], rows: list[int] | None, passes: Callable[[Any], bool]) -> list[bool]:
    chosen = range(len(values)) if rows is None else rows
    return [values[row] is not None and passes(values[row]) for row in chosen]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(tables(st.sampled_from(INTS) | st.integers(-5, 5), st.sampled_from(INTS) | st.integers(-6, 6)), signs)
def test_whole_numbers_compare_exactly(table: Table, sign: str) -> None:
    values, value, most, rows = table
    ranks = Ranks.of_numbers(*numbers_of(values, np.int64), most=most)
    assert not len(values) or ranks.count == len(values)

    def passes(one: int) -> bool:
        return SIGNS[sign](one, value)

    found = ranks.compare(sign, value, as_numpy(rows), looks(values, passes))
    assert found.tolist() == expected(values, rows, passes)


comparisons = st.lists(st.tuples(signs.filter(lambda sign: sign != "!="), st.integers(-6, 6)), min_size=1, max_size=4)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True)
@given(tables(st.integers(-5, 5), st.none()), comparisons)
def test_several_comparisons_are_one_run(table: Table, band: list[tuple[str, int]]) -> None:
    values, _, most, rows = table

    def passes(one: int) -> bool:
        return all(SIGNS[sign](one, value) for sign, value in band)

    found = Ranks.of_numbers(*numbers_of(values, np.int64), most=most).within(
        band, as_numpy(rows), looks(values, passes)
    )
    assert found.tolist() == expected(values, rows, passes)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    tables(st.sampled_from(INTS) | WHOLE_AT_BORDERS, st.sampled_from(FLOATS) | FLOATS_AT_BORDERS | st.floats(-6, 6)),
    signs,
)
def test_whole_numbers_compare_with_fractions_exactly(table: Table, sign: str) -> None:
    values, value, most, rows = table
    truth = SIGNS[sign]  # of Python's numbers, which compare exactly

    def passes(one: int) -> bool:
        return truth(one, value)

    ranks = Ranks.of_numbers(*numbers_of(values, np.int64), most=most)
    found = ranks.compare(sign, value, as_numpy(rows), looks(values, passes))
    assert found.tolist() == expected(values, rows, passes)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    tables(st.sampled_from(FLOATS) | st.floats(-5, 5), st.sampled_from([*FLOATS, *INTS]) | st.floats(-6, 6)),
    signs,
)
def test_numbers_with_fractions_compare_exactly(table: Table, sign: str) -> None:
    values, value, most, rows = table
    truth = SIGNS[sign]  # of Python's numbers, which compare exactly

    def passes(one: float) -> bool:
        return truth(one, value)

    ranks = Ranks.of_numbers(*numbers_of(values, np.float64), most=most)
    found = ranks.compare(sign, value, as_numpy(rows), looks(values, passes))
    assert found.tolist() == expected(values, rows, passes)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(tables(st.sampled_from(STRINGS) | st.text(max_size=3), st.sampled_from(STRINGS) | st.text(max_size=3)), signs)
def test_texts_compare_by_their_characters(table: Table, sign: str) -> None:
    values, value, most, rows = table

    def passes(one: str) -> bool:
        return SIGNS[sign](one, value)

    def starts(one: str) -> bool:
        return one.startswith(value)

    ranks = Ranks.of_texts(pl.Series(values, dtype=pl.String), most=most)
    found = ranks.compare(sign, value, as_numpy(rows), looks(values, passes))
    assert found.tolist() == expected(values, rows, passes)
    found = ranks.starting_with(value, as_numpy(rows), looks(values, starts))
    assert found.tolist() == expected(values, rows, starts)
    assert ranks.missing(None).tolist() == [one is None for one in values]


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True)
@given(tables(st.integers(-9, 9), st.lists(st.integers(-10, 10) | st.sampled_from([0.5, 1.0, -0.0]), max_size=12)))
def test_one_of_many_numbers(table: Table) -> None:
    values, wanted, most, rows = table

    def passes(one: int) -> bool:
        return one in wanted

    ranks = Ranks.of_numbers(*numbers_of(values, np.int64), most=most)
    found = ranks.one_of(wanted, as_numpy(rows), looks(values, passes))
    assert found.tolist() == expected(values, rows, passes)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True)
@given(tables(st.sampled_from(STRINGS), st.lists(st.sampled_from([*STRINGS, "x"]), max_size=8)))
def test_one_of_many_texts(table: Table) -> None:
    values, wanted, most, rows = table

    def passes(one: str) -> bool:
        return one in wanted

    ranks = Ranks.of_texts(pl.Series(values, dtype=pl.String), most=most)
    found = ranks.one_of(wanted, as_numpy(rows), looks(values, passes))
    assert found.tolist() == expected(values, rows, passes)


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_only_the_rows_on_a_divided_step_are_looked_at(dtype: type) -> None:
    heavy: NDArray[Any] = np.zeros(50_000, dtype=dtype)
    values = np.concatenate([heavy, np.arange(1, 200_001, dtype=dtype)])
    np.random.default_rng(0).shuffle(values)
    ranks = Ranks.of_numbers(values, None)
    looked: list[int] = []
    for sign in SIGNS:
        for value in (-1, 0, 1, 77_777, 200_000, 300_000):

            def look(rows: NDArray[np.int64], sign: str = sign, value: int = value) -> NDArray[np.bool_]:
                looked.append(len(rows))
                return np.asarray(SIGNS[sign](values[rows], value))

            assert (ranks.compare(sign, value, None, look) == SIGNS[sign](values, value)).all()
    assert max(looked) < 50


def test_of_few_values_no_row_is_looked_at() -> None:
    values = np.random.default_rng(0).integers(0, 60_000, 300_000)
    ranks = Ranks.of_numbers(values, None)

    def look(rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        raise AssertionError(f"{len(rows)} rows are looked at")

    for sign in SIGNS:
        assert (ranks.compare(sign, 31_415, None, look) == SIGNS[sign](values, 31_415)).all()
    assert (ranks.one_of([3, 5, 70_000], None, look) == np.isin(values, [3, 5])).all()


@pytest.mark.parametrize("kind", ["numbers", "texts"])
def test_ranks_are_written_and_opened(tmp_path: Path, kind: str) -> None:
    texts = [None if number % 7 == 0 else f"{number:03}" for number in range(400)]
    value: Any = "123" if kind == "texts" else 123
    values = texts if kind == "texts" else [None if text is None else int(text) for text in texts]
    if kind == "texts":
        made = Ranks.of_texts(pl.Series(texts), most=20)
    else:
        made = Ranks.of_numbers(*numbers_of(values, np.int64), most=20)
    made.write(tmp_path, "column1")
    opened = Ranks.open(tmp_path, "column1")
    assert opened is not None
    assert opened.count == 400

    def passes(one: Any) -> bool:  # noqa: ANN401  # a number or a text
        return bool(one < value)

    found = opened.compare("<", value, None, looks(values, passes))
    assert found.tolist() == expected(values, None, passes)
    assert Ranks.open(tmp_path, "column2") is None
    np.save(tmp_path / "column1.alone.npy", np.ones(3, dtype=np.bool_))
    with pytest.raises(CatalogDamaged):
        Ranks.open(tmp_path, "column1")

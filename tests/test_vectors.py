from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.models import unit_rows


def test_rows_come_out_with_length_one() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 16)) * 1000
    assert np.allclose(np.linalg.norm(unit_rows(rows), axis=1), 1, atol=1e-6)


def test_direction_is_kept() -> None:
    assert unit_rows(np.array([[3.0, 4.0]])).tolist() == [[np.float32(0.6), np.float32(0.8)]]


def test_a_row_of_zeros_stays_zeros() -> None:
    assert unit_rows(np.array([[0.0, 0.0], [0.0, 2.0]])).tolist() == [[0, 0], [0, 1]]


def test_the_input_is_left_as_it_was() -> None:
    rows = np.full((2, 2), 5, dtype=np.float32)
    unit_rows(rows)
    assert (rows == 5).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_any_float_gives_contiguous_single_precision(dtype: type[np.floating]) -> None:
    rows = unit_rows(np.asfortranarray(np.ones((3, 4), dtype=dtype)))
    assert rows.dtype == np.float32
    assert rows.flags.c_contiguous


def test_no_rows_give_no_rows() -> None:
    assert unit_rows(np.zeros((0, 7), dtype=np.float32)).shape == (0, 7)


SCALES = [1e-300, 1e-45, 1e-40, 1e-25, 1e-20, 1e-12, 1.0, 1e12, 1e18, 1e19, 1e30, 1e38, 1e300]


@given(st.sampled_from(SCALES), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_only_the_direction_of_a_row_counts_whatever_its_length(scale: float, dim: int, seed: int) -> None:
    directions = np.random.default_rng(seed).integers(-9, 10, (5, dim)) + np.eye(5, dim) * 20
    rows = directions * scale
    held = rows.astype(np.float64)
    largest = np.abs(held).max(axis=1, keepdims=True)
    expected = held / np.where(largest == 0, 1, largest)
    expected /= np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1e-9)
    assert np.allclose(unit_rows(rows), expected, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-44, 1e-38, 1e-25, 1e19, 1e30, 3e37])
def test_long_and_short_float32_rows_among_others_are_scaled_by_themselves(scale: float) -> None:
    rows = np.random.default_rng(1).standard_normal((6, 8)).astype(np.float32)
    mixed = rows.copy()
    mixed[2] *= np.float32(scale)
    wide = mixed.astype(np.float64)
    wide /= np.abs(wide).max(axis=1, keepdims=True)
    assert np.allclose(unit_rows(mixed), wide / np.linalg.norm(wide, axis=1, keepdims=True), atol=1e-6)
    assert np.array_equal(np.delete(unit_rows(mixed), 2, axis=0), np.delete(unit_rows(rows), 2, axis=0))

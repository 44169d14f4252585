from __future__ import annotations

import numpy as np
import pytest

from models import unit_rows


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

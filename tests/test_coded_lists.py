"""Rows that a filter leaves, packed by themselves in their lists: the same is found as with a selector."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.retrieval.vector_index import IndexKind, Metric, Selection, Vectors, build_approximate
from lookalike.retrieval.vector_index.coded_lists import CodedLists
from lookalike.retrieval.vector_index.quantizer import list_of_each

pytestmark = pytest.mark.slow

RANDOM = np.random.default_rng(11)
CENTRES = RANDOM.standard_normal((200, 48))
ROWS = (CENTRES[RANDOM.integers(0, 200, 20_000)] + 0.8 * RANDOM.standard_normal((20_000, 48))).astype(np.float16)
QUERIES = (CENTRES[:40] + 0.6 * RANDOM.standard_normal((40, 48))).astype(np.float32)
MASK = RANDOM.random(20_000) < 0.15


@pytest.mark.parametrize("metric", list(Metric))
def test_packed_or_with_a_selector_the_same_rows_are_found(metric: Metric) -> None:
    index = build_approximate(Vectors.of(ROWS, metric), IndexKind.IVF_PQ)
    packed, asked = Selection(MASK, uses=20_000), Selection(MASK)
    for effort, refined in ((1, 2), (4, 4), (index.lists, 8)):
        for queries in (QUERIES, QUERIES[:1], QUERIES[1:2]):
            # a query at a time is not worth packing for, so that the second goes by a selector
            together = index.visit(queries, 10, effort, refined, packed)
            singly = [index.visit(query[None], 10, effort, refined, asked) for query in queries]
            assert "lists" not in asked.packed
            assert MASK[together[1][together[1] >= 0]].all()
            same = np.isclose(together[0], np.concatenate([scores for scores, _ in singly]), rtol=1e-4, atol=1e-4)
            assert same.mean() > 0.97  # those that tie by code for the last place may be others
    assert "lists" in packed.packed
    assert packed.nbytes > asked.nbytes


def test_every_row_is_in_its_list_with_its_code() -> None:
    index = build_approximate(Vectors.of(ROWS, Metric.COSINE), IndexKind.IVF_PQ)
    selection = Selection(MASK, uses=20_000)
    index.visit(QUERIES[:1], 10, 1, 2, selection)
    packed = selection.packed["lists"]
    assert isinstance(packed, CodedLists)
    of_all = list_of_each(index.stored, len(ROWS))
    lists = packed.for_many.invlists
    held = [lists.list_size(number) for number in range(lists.nlist)]
    assert held == np.bincount(of_all[MASK], minlength=index.lists).tolist()
    # visiting all lists is scanning all codes: what the two find differs at most where codes tie
    scanned = index.codes.search(QUERIES, 30, 300, selection)
    wide = index.visit(QUERIES, 30, index.lists, 10, selection)
    assert scanned[1].shape == wide[1].shape
    assert np.mean([np.isin(one, two).mean() for one, two in zip(scanned[1], wide[1], strict=True)]) > 0.98

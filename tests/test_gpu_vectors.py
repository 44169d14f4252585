from __future__ import annotations

import gc
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from lookalike import Catalog
from lookalike.data.errors import UsageError
from lookalike.retrieval.search import gpu_vectors
from lookalike.retrieval.search.gpu_vectors import GpuVectors
from lookalike.retrieval.vector_index import Metric, Selection, Vectors

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).parent.parent
CPU = torch.device("cpu")
RANDOM = np.random.default_rng(5)
DIM, COUNT = 24, 3000
CENTRES = RANDOM.standard_normal((30, DIM))
ROWS = (CENTRES[RANDOM.integers(0, 30, COUNT)] + 0.5 * RANDOM.standard_normal((COUNT, DIM))).astype(np.float16)
QUERIES = (CENTRES[RANDOM.integers(0, 30, 40)] + 0.5 * RANDOM.standard_normal((40, DIM))).astype(np.float32)
MASKS = {
    "all": None,
    "wide": RANDOM.random(COUNT) < 0.8,
    "narrow": RANDOM.random(COUNT) < 0.05,
    "seven": np.isin(np.arange(COUNT), RANDOM.permutation(COUNT)[:7]),
    "every one": np.ones(COUNT, dtype=np.bool_),
    "empty": np.zeros(COUNT, dtype=np.bool_),
}

Scores = NDArray[np.float32]
Rows = NDArray[np.int64]


def oracle(rows: NDArray[np.float16], metric: Metric, mask: NDArray[np.bool_] | None, k: int) -> tuple[Scores, Rows]:
    """Brute force in float64, rounded to float32, equal scores in the order of the rows."""
    vectors, queries = rows.astype(np.float64), QUERIES.astype(np.float64)
    if metric is Metric.L2:
        exact = -np.stack([np.square(vectors - query).sum(axis=1) for query in queries])
    else:
        exact = np.stack([(vectors * query).sum(axis=1) for query in queries])
    scores = exact.astype(np.float32)
    if mask is not None:
        scores[:, ~mask] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(scores, order, axis=1)
    return best, np.where(best == -np.inf, -1, order)


def check(vectors: GpuVectors, rows: NDArray[np.float16], mask: NDArray[np.bool_] | None, k: int) -> None:
    scores, found = vectors.search(QUERIES, k, None if mask is None else Selection(mask))
    expected_scores, expected = oracle(rows, vectors.metric, mask, k)
    assert (scores.dtype.name, found.dtype.name) == ("float32", "int64")
    assert np.array_equal(found, expected)
    assert np.allclose(scores, expected_scores, rtol=2e-7, atol=0)


@pytest.mark.parametrize("cells", [None, 6_000], ids=["one piece", "many pieces"])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("metric", list(Metric))
def test_a_search_on_a_device_is_brute_force(
    metric: Metric, mask: str, cells: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if cells is not None:
        monkeypatch.setattr(gpu_vectors, "CELLS", cells)
    vectors = GpuVectors(Vectors.of(ROWS, metric), CPU)
    check(vectors, ROWS, MASKS[mask], 10)
    check(vectors, ROWS, MASKS[mask], 1)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("metric", list(Metric))
def test_a_search_on_a_device_finds_the_rows_of_a_search_on_the_cpu(metric: Metric, mask: str) -> None:
    chosen = MASKS[mask]
    vectors = Vectors.of(ROWS, metric)
    expected_scores, expected = vectors.search(QUERIES, 12, None if chosen is None else Selection(chosen))
    scores, rows = GpuVectors(vectors, CPU).search(QUERIES, 12, None if chosen is None else Selection(chosen))
    assert np.array_equal(rows, expected)
    assert np.allclose(scores, expected_scores, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("metric", list(Metric))
def test_more_rows_than_there_are_can_be_asked_for(metric: Metric) -> None:
    few = ROWS[:20]
    vectors = Vectors.of(few, metric)
    scores, rows = GpuVectors(vectors, CPU).search(QUERIES, 50)
    assert scores.shape == rows.shape == (len(QUERIES), 20)
    check(GpuVectors(vectors, CPU), few, None, 50)
    check(GpuVectors(vectors, CPU), few, np.arange(20) < 3, 50)


@pytest.mark.parametrize("mask", ["all", "wide", "narrow"])
@pytest.mark.parametrize("metric", list(Metric))
def test_equal_vectors_come_in_the_order_of_their_rows(metric: Metric, mask: str) -> None:
    rows = ROWS[RANDOM.integers(0, 5, COUNT)]
    check(GpuVectors(Vectors.of(rows, metric), CPU), rows, MASKS[mask], 9)


@pytest.mark.parametrize("metric", list(Metric))
def test_rows_closer_together_than_rounding_are_told_apart(metric: Metric) -> None:
    bits = np.tile(CENTRES[0].astype(np.float16), (COUNT, 1)).view(np.int16)
    rows = (bits + RANDOM.integers(0, 2, bits.shape, dtype=np.int16)).view(np.float16)
    check(GpuVectors(Vectors.of(rows, metric), CPU), rows, None, 10)


@pytest.mark.parametrize("metric", list(Metric))
def test_a_device_that_multiplies_carelessly_gives_the_true_best(metric: Metric) -> None:
    class Careless(GpuVectors):
        def _candidates(self, queries: Tensor, depth: int, selection: Selection | None) -> tuple[Tensor, Tensor]:
            return super()._candidates((queries * 2).round() / 2, depth, selection)

    check(Careless(Vectors.of(ROWS, metric), CPU), ROWS, None, 10)


def test_an_empty_batch_and_no_vectors_are_answered() -> None:
    assert GpuVectors(Vectors.of(ROWS, Metric.L2), CPU).search(QUERIES[:0], 5)[1].shape == (0, 5)
    assert GpuVectors(Vectors.of(ROWS[:0], Metric.L2), CPU).search(QUERIES, 5)[1].shape == (40, 0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalog") / "made"
    with Catalog.create(folder, dim=DIM) as catalog:
        keys = [f"item {place}" for place in range(COUNT)]
        catalog.add_vectors(keys, ROWS.astype(np.float32), {"price": list(range(COUNT))})
        catalog.optimize(index="ivf_pq")
        catalog.add_vectors(["item 7", "new"], ROWS[40:42].astype(np.float32), {"price": [7, 9000]})
        catalog.delete(keys=["item 11"])
    return folder


@pytest.mark.usefixtures("on_tensors")
@pytest.mark.parametrize("name", ["auto", "cuda"])
@pytest.mark.parametrize("filter", [None, "price < 2500", "price < 90", "price < 0"])
def test_a_batch_finds_the_same_hits_on_a_device(made: Path, filter: str | None, name: str) -> None:
    with Catalog.open(made, device="cpu") as here, Catalog.open(made, device=name) as there:
        expected = here.search_many(QUERIES, filter=filter, recall="exact")
        found = there.search_many(QUERIES, filter=filter, recall="exact")
        assert [one.keys for one in found] == [one.keys for one in expected]
        assert [one.total for one in found] == [one.total for one in expected]
        for one, other in zip(found, expected, strict=True):
            assert one.exact
            assert np.allclose(one.scores, other.scores, atol=1e-5)
        if filter is None:
            assert found[0].plan == "exact search of 2,998 vectors on cpu + exact search of 2 vectors on cpu"


@pytest.mark.usefixtures("on_tensors")
def test_few_queries_and_the_device_cpu_are_searched_where_they_were(made: Path) -> None:
    with Catalog.open(made) as catalog:
        assert "on cpu" not in catalog.search_many(QUERIES[:31])[0].plan
        assert "on cpu" not in catalog.search(vector=QUERIES[0]).plan
        assert "on cpu" in catalog.search_many(QUERIES[:32])[0].plan
    with Catalog.open(made, device="cpu") as catalog:
        assert "on cpu" not in catalog.search_many(QUERIES)[0].plan


@pytest.mark.usefixtures("on_tensors")
def test_vectors_are_copied_once_and_dropped_with_their_generation(made: Path, tmp_path: Path) -> None:
    with Catalog.create(tmp_path / "shop", dim=DIM) as catalog:
        catalog.add_vectors([str(place) for place in range(200)], ROWS[:200].astype(np.float32))
        catalog.optimize()
        errors: list[Exception] = []

        def search() -> None:
            try:
                catalog.search_many(QUERIES)
            except Exception as error:  # in a thread of its own nobody would see it
                errors.append(error)

        threads = [threading.Thread(target=search) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        copies = catalog._core.device._copies
        assert not errors
        assert [copy.count for copy in copies.values()] == [200]
        catalog.add_vectors(["last"], ROWS[200:201].astype(np.float32))
        catalog.optimize()
        catalog.search_many(QUERIES)
        gc.collect()
        assert [copy.count for copy in copies.values()] == [201]


@pytest.mark.usefixtures("on_tensors")
@pytest.mark.parametrize("fault", ["no room", "full", "no device"])
def test_auto_falls_back_to_the_cpu(fault: str, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    if fault == "no room":
        monkeypatch.setattr(gpu_vectors, "has_room", lambda device, vectors: False)
    elif fault == "full":
        monkeypatch.setattr(torch, "empty", full)
    else:
        monkeypatch.setattr(gpu_vectors, "cuda_device", lambda name: None)
    with Catalog.open(made) as catalog:
        results = catalog.search_many(QUERIES, recall="exact")
        assert "on cpu" not in results[0].plan
        assert results[0].keys
    if fault == "full":
        with Catalog.open(made, device="cuda") as catalog, pytest.raises(UsageError, match="do not fit"):
            catalog.search_many(QUERIES)


@pytest.mark.parametrize("name", ["abacus", "cuda:", "cuda:-1", "CUDA", "cpu:0", "", "cuda:0\n"])
def test_a_name_of_no_device_is_refused(name: str, made: Path) -> None:
    with pytest.raises(UsageError, match="auto, cpu, cuda"):
        Catalog.open(made, device=name)


@pytest.mark.parametrize(("there", "words"), [(0, "no CUDA device"), (2, "cuda:0, cuda:1")])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(
    there: int, words: str, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    with pytest.raises(UsageError, match=f"'cuda:2'.*{words}"):
        Catalog.open(made, device="cuda:2")
    found = gpu_vectors.cuda_device("auto")
    assert found == (torch.device("cuda", 0) if there else None)


def test_room_is_free_memory_and_what_torch_has_put_by(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = COUNT * (DIM * 2 + 8)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: needed)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 0)
    vectors, device = Vectors.of(ROWS, Metric.IP), torch.device("cuda", 0)
    for free, fits in ((needed, True), (0, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, free))
        assert gpu_vectors.has_room(device, vectors) is fits


@pytest.mark.slow
@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_a_plain_search_imports_no_torch(device: str, made: Path) -> None:
    code = f"""
import sys
import numpy as np
from lookalike import Catalog
with Catalog.open({str(made)!r}, device={device!r}) as catalog:
    catalog.search(vector=np.ones({DIM}))
    catalog.search_many(np.ones((31, {DIM})))
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

"""An index built with what the one before has learned: as good, of the right vectors, and else learned anew."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from lookalike import Catalog
from lookalike.retrieval.generations.generation import _state
from lookalike.retrieval.generations.predecessor import before_of
from lookalike.retrieval.generations.segment import SpaceRows
from lookalike.retrieval.maintenance.verification import verify
from lookalike.retrieval.vector_index import (
    Approximate,
    Before,
    IndexKind,
    Metric,
    Selection,
    Vectors,
    build_approximate,
)
from lookalike.retrieval.vector_index.calibration import Setting, Training, cheapest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
DIM = 160
RANDOM = np.random.default_rng(8)
PLANES = np.linalg.qr(RANDOM.standard_normal((DIM, DIM)))[0].reshape(2, DIM // 2, DIM)
"""Two spaces of vectors that have nothing in common."""
CENTRES = RANDOM.standard_normal((50, DIM // 2))
KINDS = [kind for kind in IndexKind if kind not in (IndexKind.AUTO, IndexKind.FLAT, IndexKind.NSG, IndexKind.DISK)]
LISTED = [IndexKind.IVF_PQ, IndexKind.IVF_SQ8, IndexKind.IVF_FLAT]


def made(count: int, seed: int, plane: int = 0) -> NDArray[np.float16]:
    """Unit vectors around some centres in one of the planes, and a little noise in all directions."""
    random = np.random.default_rng([seed, plane])
    inside = CENTRES[random.integers(0, len(CENTRES), count)] + 0.8 * random.standard_normal((count, DIM // 2))
    rows = inside @ PLANES[plane] + 0.05 * random.standard_normal((count, DIM))
    halves: NDArray[np.float16] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    return halves


OLD = made(1500, 1)
KEPT = np.flatnonzero(np.random.default_rng(2).random(1500) < 0.9)
GROWN = np.concatenate([OLD[KEPT], made(350, 3)])
FROM = np.concatenate([KEPT, np.full(350, -1)])
QUERIES = made(40, 4).astype(np.float32)
_BUILT: dict[tuple[IndexKind, Metric], Approximate] = {}


def old_index(kind: IndexKind, metric: Metric = Metric.COSINE) -> Approximate:
    """An index of the old rows, built once."""
    if (kind, metric) not in _BUILT:
        _BUILT[kind, metric] = build_approximate(Vectors.of(OLD, metric), kind)
    return _BUILT[kind, metric]


def training_of(index: Approximate) -> Training:
    assert index.calibration.training is not None
    return index.calibration.training


def centres(index: Approximate) -> NDArray[np.float32]:
    found: NDArray[np.float32] = faiss.downcast_index(index.stored.quantizer).reconstruct_n(0, index.lists)
    return found


def truth(rows: NDArray[np.float16], metric: Metric, mask: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """The ten best rows for each query by brute force in float64."""
    stored, queries = rows.astype(np.float64), QUERIES.astype(np.float64)
    l2 = -np.square(queries[:, None] - stored[None]).sum(axis=2)
    scores = l2 if metric is Metric.L2 else queries @ stored.T
    if mask is not None:
        scores[:, ~mask] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :10]


def recall(found: NDArray[np.int64], expected: NDArray[np.int64]) -> float:
    return float(np.mean([np.isin(true, some).mean() for true, some in zip(expected, found, strict=True)]))


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("kind", KINDS)
def test_an_index_that_learns_nothing_finds_what_is_promised(kind: IndexKind, metric: Metric) -> None:
    old, vectors = old_index(kind, metric), Vectors.of(GROWN, metric)
    index = build_approximate(vectors, kind, Before(old, FROM))
    assert index.calibration.training == old.calibration.training
    mask = RANDOM.random(len(GROWN)) < 0.3
    for selection in (None, Selection(mask)):
        expected = truth(GROWN, metric, None if selection is None else mask)
        for target in (0.9, 0.95, 0.99):
            setting = index.calibration.setting(1.0 if selection is None else 0.3, target)
            assert setting is not None
            _, rows = index.visit(QUERIES, 10, setting.effort, setting.refined, selection)
            assert recall(rows, expected) >= target - 0.03
        found = index.search(QUERIES, 10, 0.95, selection)
        assert recall(found.rows, expected) >= 0.92
        for place, rows in enumerate(found.rows):
            assert np.allclose(vectors.scores(QUERIES[place][None], rows)[0], found.scores[place], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", LISTED)
def test_nothing_is_learned_and_every_row_is_where_it_would_be(kind: IndexKind) -> None:
    old, vectors = old_index(kind), Vectors.of(GROWN, Metric.COSINE)
    index = build_approximate(vectors, kind, Before(old, FROM))
    assert np.array_equal(centres(index), centres(old))
    of_old, of_new = (faiss.vector_to_array(one.codes.quantizer.centroids) for one in (old, index))
    assert np.array_equal(of_new, of_old)
    every = np.arange(len(GROWN))
    projected = index.codes.transform.apply(vectors.rows(every))
    assert np.array_equal(index.codes.rows(every), index.codes.quantizer.compute_codes(projected))
    placed = projected if kind is IndexKind.IVF_PQ else vectors.rows(every)
    scores = -np.square(placed[:, None, :] - centres(index)[None]).sum(axis=2)
    lists = index.stored.invlists
    for number in range(index.lists):
        size = lists.list_size(number)
        rows = faiss.rev_swig_ptr(lists.get_ids(number), size).copy() if size else np.empty(0, np.int64)
        every = np.setdiff1d(every, rows)
        assert np.allclose(scores[rows, number], scores[rows].max(axis=1), atol=1e-3)
    assert not len(every)


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_from_elsewhere_make_it_learn_anew(kind: IndexKind) -> None:
    old = old_index(kind)
    rows = np.concatenate([OLD, made(300, 5, plane=1)])
    index = build_approximate(
        Vectors.of(rows, Metric.COSINE), kind, Before(old, np.concatenate([np.arange(1500), np.full(300, -1)]))
    )
    assert training_of(index).rows == 1800
    like_the_old = np.concatenate([OLD, made(300, 5)])
    index = build_approximate(
        Vectors.of(like_the_old, Metric.COSINE), kind, Before(old, np.concatenate([np.arange(1500), np.full(300, -1)]))
    )
    assert training_of(index).rows == 1500


def test_rows_doubled_halved_another_kind_or_metric_make_it_learn_anew() -> None:
    before = Before(old_index(IndexKind.IVF_SQ8), np.arange(1500))

    def fits(count: int, kind: IndexKind = IndexKind.IVF_SQ8, metric: Metric = Metric.COSINE) -> bool:
        return before.fits(Vectors.of(np.zeros((count, DIM), np.float16), metric), kind)

    assert fits(751)
    assert fits(2999)
    assert not fits(750)
    assert not fits(3000)
    assert not fits(1500, IndexKind.IVF_FLAT)
    assert not fits(1500, metric=Metric.IP)
    assert not before.fits(Vectors.of(np.zeros((1500, DIM + 1), np.float16), Metric.COSINE), IndexKind.IVF_SQ8)
    unnoted = replace(before.index, calibration=replace(before.index.calibration, training=None))
    assert not Before(unnoted, before.rows).fits(before.index.vectors, IndexKind.IVF_SQ8)


def test_a_vector_is_the_same_only_if_its_id_and_every_byte_are() -> None:
    old = old_index(IndexKind.IVF_PQ)
    ids = np.random.default_rng(9).permutation(2500)[:1500]
    before = SpaceRows(old.vectors, ids, np.zeros(1500, np.int64), np.arange(1500), old)
    order = np.argsort(ids)
    halves, new_ids = OLD[order], ids[order]
    halves[7, 3] += np.float16(0.001)
    halves[9, 0], halves[10, 0] = np.float16(-0.0), np.float16(0.0)
    new_ids[20] = 9_999
    new = Vectors.of(halves, Metric.COSINE)
    found = before_of(before, new_ids, new)
    assert found is not None
    expected = order.copy()
    expected[[7, 9, 10, 20]] = -1
    assert np.array_equal(found.rows, expected)
    assert before_of(None, new_ids, new) is None
    assert before_of(replace(before, approximate=None), new_ids, new) is None


def test_settings_found_before_are_kept_while_they_are_enough_and_else_made_harder() -> None:
    asked: list[tuple[int, int]] = []

    def measure(effort: int, refined: int) -> float:
        asked.append((effort, refined))
        return 0.85 + 0.02 * effort + 0.002 * refined

    before = {0.9: Setting(4, 4), 0.95: Setting(4, 4)}
    found = cheapest([1, 2, 4, 6, 8], [4, 8], measure, lambda effort, refined: 10.0 * effort + refined, before)
    assert (found[0.9].effort, found[0.9].refined) == (4, 4)  # 0.938 of 0.915
    assert (found[0.95].effort, found[0.95].refined) == (6, 4)  # 0.978 of 0.965
    assert 0.99 not in found
    assert all(effort >= 4 for effort, _ in asked)


def catalog_training(catalog: Catalog) -> Training:
    index = catalog._core.newest.state().segments[0].spaces["image"].approximate
    assert index is not None
    return training_of(index)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Catalogs by kind of index, each built once; copied by `make`."""
    return tmp_path_factory.mktemp("built")


def make(built: Path, folder: Path, index: str = "ivf_pq") -> None:
    if not (built / index).exists():
        build(built / index, index)
    shutil.copytree(built / index, folder)


def build(folder: Path, index: str) -> None:
    with Catalog.create(folder, dim=DIM) as catalog:
        catalog.add_vectors([f"k{at}" for at in range(1500)], OLD.astype(np.float32), {"price": list(range(1500))})
        catalog.optimize(index=index)


def change(catalog: Catalog) -> dict[str, NDArray[np.float16]]:
    """Delete, replace, insert again and add; return what is there then."""
    there = {f"k{at}": row for at, row in enumerate(OLD)}
    catalog.delete(keys=[f"k{at}" for at in range(0, 300)])
    again = {f"k{at}": row for at, row in zip(range(200, 500), made(300, 6), strict=True)}
    new = {f"n{at}": row for at, row in enumerate(made(200, 7))}
    for rows in (again, new):
        catalog.add_vectors(list(rows), np.stack(list(rows.values())).astype(np.float32), {"price": [1] * len(rows)})
    catalog.update(["k700", "k701"], {"price": [-1, -2]})
    return {key: row for key, row in there.items() if int(key[1:]) >= 300} | again | new


@pytest.mark.parametrize("index", ["ivf_pq", "ivf_sq8", "hnsw"])
def test_deletes_and_changes_between_two_generations_are_honoured(built: Path, tmp_path: Path, index: str) -> None:
    make(built, tmp_path / "shop", index)
    with Catalog.open(tmp_path / "shop") as catalog:
        first = catalog_training(catalog)
        there = change(catalog)
        catalog.optimize()
        assert catalog_training(catalog) == first
        assert len(catalog._core.newest.state().segments) == 1
        keys, rows = list(there), np.stack(list(there.values())).astype(np.float64)
        near, every = [], []
        for query in QUERIES:
            scores = dict(zip(keys, rows @ query, strict=True))
            best = sorted(keys, key=lambda key: -scores[key])[:10]
            hits = catalog.search(vector=query, limit=10)
            exact = catalog.search(vector=query, limit=10, recall="exact")
            assert np.allclose(exact.scores, [scores[key] for key in best], atol=1e-3)
            assert np.allclose(hits.scores, [scores[key] for key in hits.keys], atol=1e-3)
            near.append(len(set(hits.keys) & set(best)) / 10)
            every.append(len(set(exact.keys) & set(best)) / 10)
        assert np.mean(near) >= 0.92
        assert np.mean(every) >= 0.99  # of float16 and float64 sums a tie may be told apart otherwise
        assert catalog.search(vector=QUERIES[0], filter="price < 0", limit=5).total == 2
    assert verify(tmp_path / "shop").problems == []


def test_retraining_can_be_asked_for_and_follows_another_kind(built: Path, tmp_path: Path) -> None:
    make(built, tmp_path / "shop")
    with Catalog.open(tmp_path / "shop") as catalog:
        catalog.add_vectors(["new"], made(1, 9).astype(np.float32))
        assert catalog.info().learned_from == {"image": 1500}
        trained = []
        for options in ({"retrain": True}, {}, {"index": "ivf_sq8"}, {"index": "ivf_sq8"}):
            catalog.optimize(**options)
            trained.append(catalog_training(catalog).time)
        assert trained[0] == trained[1] < trained[2] == trained[3]
        assert catalog.info().learned_from == {"image": 1501}


@pytest.mark.parametrize("file", ["image.codes.faiss", "image.index.faiss", "image.vectors.faiss"])
def test_nothing_is_taken_over_from_a_damaged_generation(
    built: Path, tmp_path: Path, file: str, caplog: pytest.LogCaptureFixture
) -> None:
    make(built, tmp_path / "shop")
    (generation,) = (tmp_path / "shop" / "generations").iterdir()
    with Catalog.open(tmp_path / "shop") as catalog:
        first = catalog_training(catalog)
        content = bytearray((generation / file).read_bytes())
        content[len(content) // 2] ^= 1
        with (generation / file).open("r+b") as opened:  # a disk that forgets changes neither times nor inode
            opened.write(content)
        checked = {path.name: _state(path) for path in generation.iterdir() if path.name != "checked.json"}
        (generation / "checked.json").write_bytes(orjson.dumps(checked))
        catalog.optimize()
        assert f"{file} has changed" in caplog.text
        assert catalog_training(catalog).time > first.time
        hits = catalog.search(vector=OLD[5].astype(np.float32), limit=1)
        assert hits.keys == ["k5"]
    assert verify(tmp_path / "shop").problems == []


KILLED = """
import os, signal, sys
from lookalike import Catalog
def kill(event, arguments):
    if event == sys.argv[2] and str(arguments[0]).endswith(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
with Catalog.open(sys.argv[1]) as catalog:
    catalog.count()
    sys.addaudithook(kill)
    catalog.optimize()
"""


@pytest.mark.kill
@pytest.mark.parametrize(
    ("event", "at"),
    [
        ("open", "image.rows.npy"),
        ("open", "image.calibration.json"),
        ("open", "manifest.json"),
        ("os.rename", ""),
        ("open", "generations"),
    ],
)
def test_a_kill_while_the_next_is_built_leaves_the_generation_before(
    built: Path, tmp_path: Path, event: str, at: str
) -> None:
    make(built, tmp_path / "shop")
    with Catalog.open(tmp_path / "shop") as catalog:
        first, name = catalog_training(catalog), catalog.info().generation
        there = change(catalog)
        before = [catalog.search(vector=query, limit=5, recall="exact").keys for query in QUERIES[:5]]
    command = [sys.executable, "-c", KILLED, str(tmp_path / "shop"), event, at]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    with Catalog.open(tmp_path / "shop") as catalog:
        assert catalog.info().generation == name
        assert catalog.count() == len(there)
        assert [catalog.search(vector=query, limit=5, recall="exact").keys for query in QUERIES[:5]] == before
        made_next = catalog.optimize()
        assert [path.name for path in (tmp_path / "shop" / "generations").iterdir()] == [made_next]
        assert catalog_training(catalog) == first
        assert [catalog.search(vector=query, limit=5, recall="exact").keys for query in QUERIES[:5]] == before
    assert verify(tmp_path / "shop").problems == []

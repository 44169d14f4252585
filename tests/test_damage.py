"""Bytes that change on disk, in what is derived and in the records: the answer is the right one, or a refusal."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lookalike import Catalog
from lookalike.data.errors import CatalogDamaged, LookalikeError
from lookalike.retrieval.maintenance.repair import repair
from lookalike.retrieval.maintenance.verification import ProblemKind, verify
from lookalike.retrieval.stored_rows import ImageWrite, ItemWrite

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
DIM = 16
COUNT = 400
ROWS = np.random.default_rng(12).standard_normal((COUNT + 3, DIM)).astype(np.float32)
ROWS /= np.linalg.norm(ROWS, axis=1, keepdims=True)
HALVES = ROWS.astype(np.float16)
KEYS = [f"k{number:03}" for number in range(COUNT)]


def make(folder: Path) -> None:
    """A catalog of items with one vector each, and one item with three images."""
    with Catalog.create(folder, dim=DIM) as catalog:
        tags = [[key, "any"] for key in KEYS]
        catalog.add_vectors(KEYS, ROWS[:COUNT], {"price": list(range(COUNT)), "tags": tags})
        images = [ImageWrite(f"{at}.png", bytes([at]) * 32, 9, 9, HALVES[COUNT + at].tobytes()) for at in range(3)]
        catalog._core.records.upsert([ItemWrite("several", None, '{"price":1000}', images)])


def answers(catalog: Catalog) -> list[object]:
    """Everything that a catalog answers: searches, pictures, counts, items, an earlier state."""
    hits = [
        [(hit.key, round(hit.score, 5), hit.image) for hit in catalog.search(**query)]
        for query in (
            *({"vector": ROWS[at], "limit": 8, "recall": "exact"} for at in (3, 77, COUNT, COUNT + 2)),
            {"vector": ROWS[5], "filter": "price >= 350", "limit": 9, "recall": "exact"},
            {"vector": ROWS[6], "limit": 3, "recall": "exact", "as_of": 1},
        )
    ]
    items = [(item.key, item.fields, [image.source for image in item.images]) for item in catalog.items()]
    counts = [catalog.count(filter=filter) for filter in (None, "price < 100", 'array_contains(tags, "k007")')]
    return [hits, counts, items, catalog.keys(KEYS)]


def flip(path: Path, place: int, by: int = 1) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= by
    path.write_bytes(content)


@pytest.mark.parametrize("index", ["ivf_pq", "hnsw", "ivf_sq8", "flat"])
def test_a_flipped_byte_in_any_derived_file_is_noticed_and_mended(
    tmp_path: Path, index: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "shop"
    make(folder)
    with Catalog.open(folder) as catalog:
        before = answers(catalog)
        (made,) = [folder / "generations" / catalog.optimize(index=index)]
        names = {path.name for path in made.iterdir()} - {"checked.json"}  # which only spares reading the others
        assert answers(catalog) == before
    of_index = {"image.index.faiss", "image.codes.faiss", "image.calibration.json"}
    assert names & of_index == (set() if index == "flat" else of_index)
    assert {"columns.arrow", "column2.ranks.npy", "column3.postings.npy"} <= names
    if index != "flat":
        names &= of_index  # the others are the same under any index
    for number, name in enumerate(sorted(names)):
        (made,) = (folder / "generations").iterdir()
        size = (made / name).stat().st_size
        if not size:
            continue
        flip(made / name, (size // 2, 0, size - 1)[number % 3])
        caplog.clear()
        with Catalog.open(folder) as again:
            assert answers(again) == before
            assert "cannot be used" in caplog.text, name
            caplog.clear()
        with Catalog.open(folder) as mended:
            assert answers(mended) == before
            assert caplog.text == ""
    assert verify(folder).problems == []


def outcome(folder: Path, right: list[object]) -> str:
    try:
        with Catalog.open(folder) as catalog:
            return "right" if answers(catalog) == right else "wrong"
    except CatalogDamaged:
        return "refused"
    except LookalikeError as error:
        return f"refused as {type(error).__name__}"


def test_flipped_bytes_anywhere_in_the_records_are_refused_or_found(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    make(folder)
    with Catalog.open(folder) as catalog:
        right = answers(catalog)
    path = folder / "records.sqlite"
    content = path.read_bytes()
    places = [*range(0, 100, 3), *np.random.default_rng(1).integers(100, len(content), 120).tolist()]
    outcomes = []
    for place in places:
        flip(path, place, 0x55)
        found = outcome(folder, right)
        if found == "wrong":
            assert verify(folder).problems, f"byte {place}: a wrong answer, and nothing is found"
        outcomes.append(found)
        for left in folder.glob("records.sqlite*"):
            left.unlink()
        path.write_bytes(content)
    assert set(outcomes) <= {"right", "wrong", "refused", "refused as CatalogFormat", "refused as StorageFailed"}
    assert "refused" in outcomes
    assert outcomes.count("wrong") <= len(places) // 20


def test_a_flipped_byte_of_any_vector_is_refused_and_its_item_put_aside(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    make(folder)
    content = (folder / "records.sqlite").read_bytes()
    for number in range(0, COUNT + 3, 31):
        place = content.index(HALVES[number].tobytes()) + number % (2 * DIM)
        flip(folder / "records.sqlite", place)
        with Catalog.open(folder) as catalog, pytest.raises(CatalogDamaged, match="not as it was written.*repair"):
            catalog.search(vector=ROWS[0])
        with Catalog.open(folder) as catalog, pytest.raises(CatalogDamaged):
            catalog.optimize()
        (problem,) = verify(folder).problems
        assert (problem.kind, problem.where) == (ProblemKind.ITEM, f"item {(*KEYS, *['several'] * 3)[number]!r}")
        (folder / "records.sqlite").write_bytes(content)
    flip(folder / "records.sqlite", content.index(HALVES[7].tobytes()))
    assert repair(folder).quarantined == ["k007"]
    with Catalog.open(folder) as catalog:
        assert catalog.count() == COUNT
        assert catalog.search(vector=ROWS[8], limit=1).keys == ["k008"]
        assert catalog.verify().problems == []


@pytest.mark.parametrize("where", ["key", "fields", "title", "history"])
def test_changed_words_and_numbers_are_found_by_verify(tmp_path: Path, where: str) -> None:
    folder = tmp_path / "shop"
    make(folder)
    with Catalog.open(folder) as catalog:
        catalog.update(["k020"], {"price": [5]}, titles=["a title"])
        catalog.update(["k021"], {"price": [5]})
        catalog.delete(keys=["k022"])
    assert verify(folder).problems == []
    connection = sqlite3.connect(folder / "records.sqlite")
    with connection:
        connection.execute(
            {
                "key": "UPDATE items SET key = 'k02O' WHERE key = 'k020'",
                "fields": """UPDATE items SET fields = '{"price":4}' WHERE key = 'k020'""",
                "title": "UPDATE items SET title = 'a tale' WHERE key = 'k020'",
                "history": """UPDATE history SET fields = '{"price":4}' WHERE key = 'k020'""",
            }[where]
        )
    connection.close()
    (problem,) = verify(folder).problems
    assert "not as it was written" in problem.what
    assert problem.kind is (ProblemKind.HISTORY if where == "history" else ProblemKind.ITEM)
    report = repair(folder)
    assert (len(report.quarantined), len(report.left)) == ((0, 1) if where == "history" else (1, 0))
    if where == "history":
        with Catalog.open(folder) as catalog:
            catalog.purge(catalog._core.records.version()[0])  # as the problem says
        assert verify(folder).problems == []


KILLED = """
import os, signal, sys
from lookalike import Catalog
catalog = Catalog.open(sys.argv[1])
catalog._core.records._database.connection.execute("PRAGMA wal_autocheckpoint = 0")
for number in range(6):
    catalog.add_vectors([f"late{number}"], [[1] * 16], {"price": [number]})
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_flipped_byte_of_the_log_ends_it_at_a_commit_or_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    make(folder)
    subprocess.run([sys.executable, "-c", KILLED, str(folder)], cwd=ROOT, check=False)
    log = (folder / "records.sqlite-wal").read_bytes()
    kept = tmp_path / "kept"
    shutil.copytree(folder, kept)
    for place in (0, 9, 25, 33, 60, *np.random.default_rng(2).integers(32, len(log), 12).tolist()):
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)
        (folder / "records.sqlite-shm").unlink()  # as after a power cut
        flip(folder / "records.sqlite-wal", place, 0x55)
        with Catalog.open(folder) as catalog:
            # SQLite checks each frame of its log: it is believed up to the last whole commit before the damage
            newest = catalog._core.records.version()[0]
            assert 2 <= newest <= 8
            late = [f"late{number}" for number in range(newest - 2)]
            assert catalog.keys([f"late{number}" for number in range(6)]) == late
            assert catalog.count() == COUNT + 1 + len(late)
            assert catalog.search(vector=ROWS[3], limit=1, recall="exact").keys == ["k003"]
            assert catalog.verify().problems == []

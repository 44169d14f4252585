"""Several processes at once: writers of the same keys, two that optimize, one that searches, one that died."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import orjson
import pytest

from lookalike import Catalog
from lookalike.data.errors import CatalogBusy, UsageError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
DIM = 8
COUNT = 300
ROWS = np.random.default_rng(8).standard_normal((COUNT, DIM)).astype(np.float32)
KEYS = [f"k{number}" for number in range(COUNT)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Catalog.create(tmp_path / "shop", dim=DIM, metric="ip") as catalog:
        catalog.add_vectors(KEYS, ROWS, {"turn": [0] * COUNT})
        catalog.optimize()
    return tmp_path / "shop"


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


WRITER = """
import sys, orjson
import numpy as np
from lookalike.data.errors import CatalogBusy, ItemNotFound
from lookalike import Catalog
name = int(sys.argv[2])
chance = np.random.default_rng(name)
with Catalog.open(sys.argv[1]) as catalog:
    for turn in range(60):
        keys = [f"k{n}" for n in chance.choice(12, int(chance.integers(1, 4)), replace=False)]
        what = str(chance.choice(["add", "update", "delete"], p=[0.5, 0.25, 0.25]))
        mark = name * 1000 + turn
        try:
            if what == "add":
                rows = chance.standard_normal((len(keys), 8)).astype(np.float32)
                seq = catalog.add_vectors(keys, rows, {"turn": [mark] * len(keys)})
                vectors = rows.astype(np.float16).tobytes().hex()
            elif what == "update":
                seq, vectors = catalog.update(keys, {"turn": [mark] * len(keys)}), ""
            else:
                seq, vectors = catalog.delete(keys=keys) and 0, ""
        except ItemNotFound:
            continue
        print(orjson.dumps([what, seq, keys, mark, vectors]).decode(), flush=True)
"""


def test_every_acknowledged_commit_of_two_writers_of_the_same_keys_is_there_in_order(folder: Path) -> None:
    writers = [start(WRITER, folder, name) for name in (1, 2)]
    said = [[orjson.loads(line) for line in writer.communicate()[0].splitlines()] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert all(len(lines) > 20 for lines in said)
    by_commit = {line[1]: line for lines in said for line in lines if line[1]}
    deletes = sum(line[0] == "delete" for lines in said for line in lines)
    assert len(by_commit) + deletes == sum(map(len, said))  # no number twice
    with Catalog.open(folder) as catalog:
        log = {one.seq: one for one in catalog.log()}
        assert sorted(log) == list(range(1, len(log) + 1))
        for lines in said:
            numbers = [line[1] for line in lines if line[1]]
            assert numbers == sorted(numbers)
        state: dict[str, tuple[int, bytes]] = {
            key: (0, ROWS[at].astype(np.float16).tobytes()) for at, key in enumerate(KEYS)
        }
        for seq in range(2, len(log) + 1):
            now = {item.key: item.fields["turn"] for item in catalog.items(as_of=seq)}
            if seq in by_commit:
                what, _, keys, mark, vectors = by_commit[seq]
                content = bytes.fromhex(vectors)
                for place, key in enumerate(keys):
                    row = content[place * DIM * 2 : (place + 1) * DIM * 2] if what == "add" else state[key][1]
                    state[key] = mark, row
            else:
                gone = state.keys() - now.keys()
                assert log[seq].deleted == len(gone) and log[seq].summary.startswith("delete")
                for key in gone:
                    del state[key]
            assert now == {key: mark for key, (mark, _) in state.items()}
        ids = {row.id: row.key for row in catalog._core.records.items()}
        rows = catalog._core.records.vectors("image", DIM)
        found = {ids[int(item)]: row.tobytes() for item, row in zip(rows.item_ids, rows.vectors, strict=True)}
        assert found == {key: row for key, (_, row) in state.items()}
        assert catalog.verify().problems == []


OPTIMIZER = """
import sys
from lookalike.data.errors import CatalogBusy
from lookalike import Catalog
done = busy = 0
with Catalog.open(sys.argv[1]) as catalog:
    print("ready", flush=True)
    sys.stdin.readline()
    while done + busy < 8:
        try:
            catalog.optimize(index="hnsw")
            done += 1
        except CatalogBusy:
            busy += 1
print(done, busy)
"""

SEARCHER = """
import sys
import numpy as np
from lookalike import Catalog
row = np.random.default_rng(8).standard_normal((300, 8)).astype(np.float32)[5]
with Catalog.open(sys.argv[1]) as catalog:
    print("ready", flush=True)
    last = wrong = searches = 0
    while not (last >= 40):
        hits = catalog.search(vector=row, filter="turn >= 0", limit=400, recall="exact")
        turns = {hit.fields["turn"] for hit in hits}
        wrong += len(turns) != 1 or len(hits.keys) != 300 or hits.total != 300 or min(turns) < last
        last = max(turns)
        searches += 1
print(searches, wrong)
"""


def test_searches_see_only_states_that_were_while_two_others_optimize(folder: Path) -> None:
    searcher = start(SEARCHER, folder)
    optimizers = [start(OPTIMIZER, folder) for _ in range(2)]
    for process in (searcher, *optimizers):
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in optimizers:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    with Catalog.open(folder) as catalog:
        turn = 0
        while turn < 40 or any(process.poll() is None for process in optimizers):
            turn = min(turn + 1, 39) if any(process.poll() is None for process in optimizers) else turn + 1
            catalog.update(KEYS, {"turn": [turn] * COUNT})  # all of them at once, or none
        searches, wrong = map(int, searcher.communicate()[0].split())
        done, busy = np.array([list(map(int, process.communicate()[0].split())) for process in optimizers]).sum(axis=0)
        assert (wrong, done + busy) == (0, 16)
        assert searches > 3
        assert done >= 2
        name = catalog.optimize()
        assert catalog.count(filter=f"turn == {turn}") == COUNT
    assert [path.name for path in (folder / "generations").iterdir()] == [name]


HELD = """
import sys, threading
from lookalike import Catalog
import lookalike.retrieval.generations.generation
if sys.argv[2] == "optimize":
    def hang(*_):
        print("holding", flush=True)
        threading.Event().wait()
    lookalike.retrieval.generations.generation.sync = hang
    Catalog.open(sys.argv[1]).optimize()
else:
    with Catalog.open(sys.argv[1])._core.writer():
        print("holding", flush=True)
        threading.Event().wait()
"""


@pytest.mark.kill
@pytest.mark.parametrize("what", ["optimize", "index"])
def test_the_lock_of_a_killed_process_holds_nobody_up(folder: Path, what: str) -> None:
    (before,) = (folder / "generations").iterdir()
    process = start(HELD, folder, what)
    assert process.stdout is not None
    assert process.stdout.readline() == "holding\n"
    with Catalog.open(folder) as catalog:

        def take() -> str:
            if what == "optimize":
                return catalog.optimize()
            with catalog._core.writer():
                return before.name

        with pytest.raises(CatalogBusy):
            take()
        process.kill()
        process.communicate()
        if what == "optimize":
            left = {path.name for path in (folder / "generations").iterdir()} - {before.name}
            assert [name.startswith("building-") for name in left] == [True]
            assert catalog.info().generation == before.name
            assert catalog.search(vector=ROWS[3], limit=COUNT, recall="exact").total == COUNT
        assert (folder / f"{what}.lock").exists()
        name = take()
    assert [path.name for path in (folder / "generations").iterdir()] == [name]


def test_a_clock_that_goes_back_shifts_no_moment_and_no_purge(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.time()
    with Catalog.open(folder) as catalog:
        times = [began - 5000, began - 4000, began - 90_000, began - 3000, began - 80_000, began - 2000]
        monkeypatch.setattr("lookalike.retrieval.store.commits.time.time", lambda: times.pop(0))
        with catalog._core.records._database.immediate() as connection:
            connection.execute("UPDATE commits SET time = ?", (began - 6000,))
        for turn in range(1, 7):
            catalog.update(KEYS, {"turn": [turn] * COUNT})
        monkeypatch.undo()
        log = catalog.log()[::-1]
        assert [round(began - one.time) for one in log] == [6000, 5000, 4000, 4000, 3000, 3000, 2000]
        # commit 1 + turn has that turn: at a moment, the newest commit that was not made later
        for age, turn in ((5500, 0), (5000, 1), (4500, 1), (3999, 3), (3000, 5), (2500, 5), (1000, 6)):
            moment = np.datetime64(round((began - age) * 1e6) + 1, "us").item()
            assert catalog.count(filter=f"turn == {turn}", as_of=moment) == COUNT
        with pytest.raises(UsageError):
            catalog.count(as_of=np.datetime64(round((began - 80_000) * 1e6), "us").item())
        assert catalog.purge("63m").oldest_commit == 4  # 3,780 seconds: as it was after the second of the same time
        assert catalog.count(filter="turn == 3", as_of=4) == COUNT
        with pytest.raises(UsageError):
            catalog.count(as_of=3)
        assert catalog.verify().problems == []

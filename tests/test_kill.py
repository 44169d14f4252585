"""Kill an index run at random moments with SIGKILL, run it to the end, compare with an uninterrupted one.

The test kills a few times; `python -m tests.test_kill 20` as often as asked, with the sample catalogue and `compact`.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from lookalike import Catalog
from lookalike.retrieval.store.records import Records
from tests.test_indexing import picture

pytestmark = pytest.mark.kill

ROOT = Path(__file__).parent.parent
RUN = """
import sys
import lookalike.retrieval.core, lookalike.retrieval.ingest.index_run
from pathlib import Path
from lookalike.data.feeds.feed import open_feed
from lookalike import Catalog
if sys.argv[3] == "colour":
    from tests.fakes import ColourEncoder
    lookalike.retrieval.core.load_encoder = lambda name, **_: ColourEncoder()
lookalike.retrieval.ingest.index_run._COMMIT_EVERY_S = float(sys.argv[4])
opened = Catalog.open if Path(sys.argv[1]).exists() else Catalog.create
with opened(sys.argv[1], **({} if opened == Catalog.open else {"model": "compact"})) as catalog:
    run = catalog.index(sys.argv[2], sync=len(sys.argv) > 5)
    catalog.encoder.encode_titles(["warm"])
    print("running", flush=True)
    for report in run:
        pass
    catalog.optimize()
"""


def start(catalog: Path, feed: Path, model: str, commit_every_s: float, *, sync: bool = False) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", RUN, str(catalog), str(feed), model, str(commit_every_s), *["sync"] * sync]
    return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate()
    assert process.returncode == 0, errors


def contents(catalog: Path) -> dict[str, tuple[object, ...]]:
    """What a catalog holds by key, and its vectors and thumbnails."""
    held: dict[str, tuple[object, ...]] = {}
    with Catalog.open(catalog) as opened:
        view = opened._core.newest.state()
        for row in opened._core.records.items():
            images = opened._core.records.images([row.id]).get(row.id, [])
            shown = [opened._core.thumbnails.path(image.sha256.hex()) is not None for image in images]
            vectors = [view.vectors_of(space, row.id) for space in sorted(opened._core.file.spaces)]
            facts = [(image.source, image.sha256, image.width, image.height) for image in images]
            held[row.key] = (row.title, row.fields, facts, all(shown), vectors)
        assert opened.count() == opened._core.records.count() == len(held)
    return held


def same(one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    return one[:4] == other[:4] and all(
        left.shape == right.shape and np.allclose(left, right, atol=2e-3)
        for left, right in zip(one[4], other[4], strict=True)  # type: ignore[call-overload]
    )


def check_ledger(catalog: Path) -> dict[str, str]:
    """Check that every item is in the ledger with the commit that wrote it; return the states by key."""
    records = Records.open(catalog / "records.sqlite")
    try:
        entries = {one.key or "": one for one in records.ledger.entries()}
        items = {row.key: row.id for row in records.items()}
        connection = records._database.connection
        held = dict(connection.execute("SELECT key, item FROM ledger WHERE item IS NOT NULL").fetchall())
        born = dict(connection.execute("SELECT key, born FROM items").fetchall())
    finally:
        records.close()
    assert held == items
    for key in items:
        assert entries[key].state in ("indexed", "unchanged", "missing")
        assert entries[key].commit == born[key]
    return {key: entry.state.value for key, entry in entries.items()}


def kill_and_compare(folder: Path, feed: Path, model: str, kills: int, commit_every_s: float, seed: int) -> int:
    """Return how many of the kills hit a run that was under way."""
    moments = random.Random(seed)
    catalogs = [folder / "whole", folder / "killed"]
    whole = start(catalogs[0], feed, model, commit_every_s)
    assert whole.stdout is not None
    whole.stdout.readline()
    started = time.monotonic()
    finish(whole)
    whole_s = time.monotonic() - started
    hits = 0
    for _ in range(kills):
        process = start(catalogs[1], feed, model, commit_every_s)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(moments.uniform(0, 2.5 * whole_s / kills))
        hits += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert "missing" not in check_ledger(catalogs[1]).values()
    finish(start(catalogs[1], feed, model, commit_every_s))
    states = [check_ledger(catalog) for catalog in catalogs]
    assert [{key for key, state in one.items() if state == "rejected"} for one in states] == [
        {key for key, state in states[0].items() if state == "rejected"}
    ] * 2
    expected, found = (contents(catalog) for catalog in catalogs)
    assert expected.keys() == found.keys()
    assert all(same(expected[key], found[key]) for key in expected)
    return hits


def test_a_killed_run_loses_and_doubles_nothing(tmp_path: Path) -> None:
    rows = []
    for number in range(1000):
        picture(tmp_path / "feed" / f"{number}.png", number)
        rows.append(f"k{number},{number}.png,red {number},{number}.5")
    for number in range(0, 1000, 100):
        (tmp_path / "feed" / f"{number}.png").write_text("no picture")
    feed = tmp_path / "feed" / "feed.csv"
    feed.write_text("key,image,title,price\n" + "\n".join(rows) + "\n")
    assert kill_and_compare(tmp_path, feed, "colour", kills=4, commit_every_s=0.0, seed=1) >= 1


def test_a_killed_sync_removes_all_that_is_gone_or_nothing(tmp_path: Path) -> None:
    folder, shop = tmp_path / "pictures", tmp_path / "shop"
    for number in range(600):
        picture(folder / "a" / f"{number}.png", number)
    finish(start(shop, folder, "colour", 0.0))
    (folder / "b").mkdir()
    for number in range(200):
        (folder / "a" / f"{number}.png").rename(folder / "b" / f"{number}.png")
    for number in range(200, 300):
        (folder / "a" / f"{number}.png").unlink()
    gone = {f"a/{number}.png" for number in range(200, 300)}
    moments, hits = random.Random(3), 0
    for _ in range(4):
        process = start(shop, folder, "colour", 0.0, sync=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(moments.uniform(0, 0.4))
        hits += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        states = check_ledger(shop)
        with Catalog.open(shop) as catalog:
            keys = {row.key for row in catalog._core.records.items()}
        assert gone <= keys or not gone & keys
        assert {f"{number}.png" for number in range(600) if number not in range(200, 300)} <= {
            key.split("/")[1] for key in keys
        }
        assert gone <= keys or {states[key] for key in gone} == {"missing"}
        assert len(keys) in (600, 500)  # a moved file is never there twice, and never not at all
    finish(start(shop, folder, "colour", 0.0, sync=True))
    assert hits
    assert set(contents(shop)) == {f"b/{number}.png" for number in range(200)} | {
        f"a/{number}.png" for number in range(300, 600)
    }
    check_ledger(shop)


@pytest.mark.weights
def test_control_c_keeps_what_is_written_and_says_how_to_go_on(tmp_path: Path) -> None:
    sample = ROOT / "data" / "sample" / "catalog.csv"
    command = [sys.executable, "-m", "lookalike", "index", str(tmp_path / "shop"), str(sample)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.1)
        if (tmp_path / "shop" / "records.sqlite").exists() and Records.open(
            tmp_path / "shop" / "records.sqlite"
        ).count():
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 1, errors
    assert "Run the same command again to go on" in " ".join(errors.split())
    assert "Traceback" not in errors
    with Catalog.open(tmp_path / "shop") as catalog:
        assert 0 < catalog.count() < 510


if __name__ == "__main__":
    count = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as place:
        sample = ROOT / "data" / "sample" / "catalog.csv"
        reached = kill_and_compare(Path(place), sample, "compact", count, 0.5, seed=2)
    sys.stdout.write(f"{count} kills, {reached} during the run: the catalogue equals an uninterrupted one\n")

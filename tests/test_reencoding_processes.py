"""A change of models in one process while others search, and killed at random moments with SIGKILL."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from lookalike import Catalog
from lookalike.data.feeds.feed import open_feed
from lookalike.retrieval.ingest.index_run import IndexRun
from lookalike.retrieval.maintenance.verification import verify
from tests.fakes import fake_models
from tests.test_indexing import picture
from tests.test_reencoding import contents

pytestmark = pytest.mark.kill

ROOT = Path(__file__).parent.parent
COUNT = 400

FAKES = """
import sys, time
import lookalike.retrieval.core, lookalike.retrieval.reencode.reencode_run
from lookalike import Catalog
from lookalike.retrieval.reencode.reencode_run import Reencoding
from tests.fakes import fake_models
class Patch:
    setattr = staticmethod(setattr)
fake_models(Patch)
"""
REENCODE = f"""{FAKES}
lookalike.retrieval.reencode.reencode_run._WRITE_EVERY_S = 0.0
with Catalog.open(sys.argv[1]) as catalog:
    print("running", flush=True)
    if catalog.models == "colour":
        for report in catalog.reencode(model="turned"):
            pass
        print(time.monotonic(), flush=True)
"""
SEARCH = f"""{FAKES}
import orjson
with Catalog.open(sys.argv[1]) as catalog:
    while True:
        asked = time.monotonic()
        found = catalog.search(text="red cup", like="k7", limit=20, recall="exact")
        line = orjson.dumps([asked, time.monotonic(), found.keys, found.scores]).decode()
        with open(sys.argv[2], "a") as file:
            file.write(line + "\\n")
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    fake_models(monkeypatch)
    colours = ("red", "green", "blue", "white")
    rows = []
    for number in range(COUNT):
        picture(tmp_path / "feed" / f"{number}.png", number)
        rows.append(f"k{number},{number}.png,{colours[number % 4]} cup")
    (tmp_path / "feed" / "feed.csv").write_text("key,image,title\n" + "\n".join(rows) + "\n")
    with Catalog.create(tmp_path / "shop", model="colour") as catalog:
        for _ in IndexRun(catalog._core, open_feed(tmp_path / "feed" / "feed.csv")):
            pass
        catalog.update(["k3"], titles=["white cup"])
        catalog.optimize()
    return tmp_path / "shop"


def start(code: str, *arguments: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return output


def test_a_change_that_is_killed_goes_on_and_ends_as_if_it_never_was(shop: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    shutil.copytree(shop, whole)
    shutil.copytree(shop, killed)
    process = start(REENCODE, whole)
    assert process.stdout is not None
    process.stdout.readline()
    started = time.monotonic()
    whole_s = float(finished(process).strip()) - started
    with Catalog.open(shop) as catalog:
        old = contents(catalog), catalog.search(text="red cup", limit=50).keys
    with Catalog.open(whole) as catalog:
        new = contents(catalog), catalog.search(text="red cup", limit=50).keys
        spaces = catalog._core.records.count_vectors()
    moments, hits = random.Random(5), 0
    for _ in range(4):
        process = start(REENCODE, killed)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(moments.uniform(0, 0.6 * whole_s))
        hits += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert verify(killed).problems == []
        with Catalog.open(killed) as catalog:
            swapped = catalog._core.file.models == "turned"
            assert (contents(catalog), catalog.search(text="red cup", limit=50).keys) == (new if swapped else old)
    finished(start(REENCODE, killed))
    assert hits
    with Catalog.open(killed) as catalog:
        assert (contents(catalog), catalog.search(text="red cup", limit=50).keys) == new
        assert catalog._core.records.count_vectors() == spaces  # each once, and nothing of what was broken off
        assert catalog.info().previous == "colour"
    assert verify(killed).problems == []


def test_readers_see_the_old_or_the_new_and_the_new_within_a_second(shop: Path, tmp_path: Path) -> None:
    answers = [tmp_path / f"{number}.txt" for number in range(2)]
    readers = [start(SEARCH, shop, path) for path in answers]
    while not all(path.exists() for path in answers):
        assert all(reader.poll() is None for reader in readers)
        time.sleep(0.05)
    with Catalog.open(shop) as catalog:
        old = catalog.search(text="red cup", like="k7", limit=20, recall="exact")
    swapped = float(finished(start(REENCODE, shop)).split()[-1])
    with Catalog.open(shop) as catalog:
        new = catalog.search(text="red cup", like="k7", limit=20, recall="exact")
    assert (new.keys, new.scores) != (old.keys, old.scores)
    time.sleep(max(swapped + 1.5 - time.monotonic(), 0))
    kinds = set()
    for reader, path in zip(readers, answers, strict=True):
        assert reader.poll() is None
        reader.send_signal(signal.SIGTERM)
        assert reader.communicate()[1] == ""
        *lines, _ = path.read_text().split("\n")
        for asked, answered, keys, scores in map(orjson.loads, lines):
            is_old = keys == old.keys and scores == pytest.approx(old.scores, abs=1e-5)
            is_new = keys == new.keys and scores == pytest.approx(new.scores, abs=1e-5)
            assert is_old or is_new
            assert is_new or asked < swapped + 1
            kinds.add("old" if answered < swapped - 1 else "new" if is_new else "between")
            assert is_old or answered > swapped - 1
    assert {"old", "new"} <= kinds

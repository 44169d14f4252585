"""A process that has a catalog open forks: daemons, multiprocessing, preloading servers, loaders of training data."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lookalike import Catalog
from lookalike.data.errors import StorageFailed, UsageError
from lookalike.data.pictures.decode_memory import decode_memory
from lookalike.retrieval.files import forks
from tests.conftest import ROOT

ROWS = np.random.default_rng(4).standard_normal((50, 4)).astype(np.float32)

# Python warns of forks in processes with threads, which is what is tested here.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*fork.*")]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    with Catalog.create(tmp_path / "shop", dim=4) as catalog:
        catalog.add_vectors([f"k{number}" for number in range(20)], ROWS[:20], {"price": list(range(20))})
        catalog.optimize()
    return tmp_path / "shop"


def keys_elsewhere(shop: Path) -> set[str]:
    """Return the keys that another process sees, which opens the catalog and closes it again."""
    code = (
        "import sys; from lookalike import Catalog\nwith Catalog.open(sys.argv[1]) as c: print(*c.keys(sys.argv[2:]))"
    )
    asked = [f"{kind}{number}" for kind in ("k", "parent", "child", "worker") for number in range(20)]
    command = [sys.executable, "-c", code, str(shop), *asked]
    return set(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split())


def in_a_child(call: Callable[[], object]) -> str:
    """Fork, call, and return what the child got: the text of the result, or of the error after its class."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        try:
            said = str(call())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return said


def write_and_read(catalog: Catalog, key: str) -> list[str]:
    catalog.add_vectors([key], ROWS[:1])
    return catalog.keys([key])


def test_what_a_daemon_adds_after_its_parent_ended_is_seen_by_others(shop: Path) -> None:
    code = """
import os, sys, numpy as np
from lookalike import Catalog
catalog = Catalog.open(sys.argv[1])
catalog.count() if "searched" in sys.argv[2] else catalog.get(["k1"])
if os.fork():
    catalog.close() if sys.argv[2] == "parent closes" else None
    sys.exit()
sys.stdin.readline()  # the parent has ended, and others have looked meanwhile
for number in range(5):
    catalog.add_vectors([f"child{number}"], np.eye(4)[:1])
    print(number, flush=True)
sys.stdin.readline()
"""
    for way in ("parent closes", "parent searched and ends"):
        command = [sys.executable, "-W", "ignore", "-c", code, str(shop), way]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdin is not None and parent.stdout is not None
            assert parent.wait() == 0
            assert keys_elsewhere(shop) >= {"k1"}
            parent.stdin.write("go on\n")
            parent.stdin.flush()
            assert [parent.stdout.readline() for _ in range(5)] == [f"{done}\n" for done in range(5)]
            assert {f"child{done}" for done in range(5)} <= keys_elsewhere(shop), way
        with Catalog.open(shop) as catalog:
            assert catalog.verify().problems == []
            catalog.delete(keys=[f"child{done}" for done in range(5)])


def test_parent_and_children_write_and_read_beside_each_other(shop: Path) -> None:
    with Catalog.open(shop) as catalog:
        for number in range(4):
            catalog.add_vectors([f"parent{number}"], ROWS[:1])
            said = in_a_child(partial(write_and_read, catalog, f"child{number}"))
            assert said == f"['child{number}']"
            assert catalog.keys([f"child{number}"]) == [f"child{number}"]  # the parent sees it at once
    assert {f"{who}{number}" for who in ("parent", "child") for number in range(4)} <= keys_elsewhere(shop)


def test_a_child_of_a_process_that_has_not_searched_can_do_everything(shop: Path) -> None:
    code = """
import os, sys, numpy as np
from lookalike import Catalog
catalog = Catalog.open(sys.argv[1])
child = os.fork()
if child == 0:
    catalog.add_vectors(["child0"], np.eye(4)[:1], {"price": [3]})
    catalog.optimize()
    found = catalog.search(vector=np.eye(4)[0], filter="price < 10 and price * 2 > 4", limit=3)
    print(found.keys[0], len(found), len(catalog.search_many(np.eye(4))), catalog.count(filter="price == 3"))
    catalog.backup(sys.argv[1] + ".backup")
    sys.exit()
os.waitpid(child, 0)
print(catalog.search(vector=np.eye(4)[0], limit=1).keys[0])
"""
    command = [sys.executable, "-W", "ignore", "-c", code, str(shop)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["child0", "3", "4", "2", "child0"]


def test_a_child_of_a_process_that_has_searched_writes_and_refuses_to_search(shop: Path) -> None:
    with Catalog.open(shop) as catalog:
        catalog.search(vector=ROWS[0], filter="price < 10")
        said = in_a_child(lambda: catalog.add_vectors(["child1"], ROWS[:1]) and catalog.get(["child1"])[0].key)
        assert said == "child1"
        for call in (
            lambda: catalog.search(vector=ROWS[0]),
            lambda: catalog.count(filter="price < 10"),
            catalog.optimize,
            lambda: catalog.delete(filter="price < 3"),
            lambda: catalog.import_parquet(shop / "none.parquet"),
        ):
            assert in_a_child(call).startswith("UsageError: This process was forked from one that has searched")
        assert catalog.search(vector=ROWS[0]).exact
    assert "child1" in keys_elsewhere(shop)


def _add_in_worker(job: tuple[str, int]) -> list[str]:
    path, number = job
    with Catalog.open(path) as catalog:
        catalog.add_vectors([f"worker{number}"], ROWS[:1])
        return catalog.keys([f"worker{number}"])


def test_workers_of_multiprocessing_open_the_catalog_that_the_parent_has_open(shop: Path) -> None:
    with Catalog.open(shop) as catalog:
        catalog.get(["k1"])
        with multiprocessing.get_context("fork").Pool(2) as pool:
            waiting = pool.map_async(_add_in_worker, [(str(shop), number) for number in range(10)])
            while not waiting.ready():
                catalog.add_vectors(["parent0"], ROWS[:1])
            assert waiting.get() == [[f"worker{number}"] for number in range(10)]
        assert len(catalog.keys([f"worker{number}" for number in range(10)])) == 10
    assert {"parent0", *(f"worker{number}" for number in range(10))} <= keys_elsewhere(shop)


class Items:
    """A dataset as training reads it, by keys."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def __len__(self) -> int:
        return 20

    def __getitem__(self, place: int) -> int:
        price = self._catalog.get([f"k{place}"])[0].fields["price"]
        assert isinstance(price, int)
        return price


def test_workers_of_a_data_loader_read_through_the_catalog_of_their_parent(shop: Path) -> None:
    from torch.utils.data import DataLoader  # which few tests need

    with Catalog.open(shop) as catalog:
        catalog.search(vector=ROWS[0])
        items = Items(catalog)
        for _ in range(2):
            loader = DataLoader(items, num_workers=2, batch_size=5, multiprocessing_context="fork")  # type: ignore[arg-type,var-annotated]
            assert [price for batch in loader for price in batch.tolist()] == list(range(20))
            catalog.add_vectors(["parent0"], ROWS[:1])
    assert "parent0" in keys_elsewhere(shop)


APP = """
import json, os, sys
from urllib.parse import parse_qs
import numpy as np
from lookalike import Catalog

catalog = Catalog.open(os.environ["SHOP"])
catalog.get(["k1"])

def app(environ, start_response):
    asked = parse_qs(environ["QUERY_STRING"])
    if "add" in asked:
        catalog.add_vectors(asked["add"], np.eye(4)[: len(asked["add"])], {"price": [1] * len(asked["add"])})
    found = catalog.search(vector=np.eye(4)[0], filter="price < 10", limit=50).keys
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"pid": os.getpid(), "found": found}).encode()]
"""


def test_workers_of_a_server_that_loads_the_app_before_it_forks(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "preloaded.py").write_text(APP)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "--preload", "-w", "2", "-b", f"127.0.0.1:{port}", "preloaded:app"]
    environment = {**os.environ, "SHOP": str(shop), "PYTHONPATH": f"{ROOT}:{tmp_path}", "PYTHONWARNINGS": "ignore"}

    def ask(query: str = "") -> dict[str, object]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/?{query}", timeout=30) as answer:
            found: dict[str, object] = json.load(answer)
            return found

    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as server:
        try:
            for _ in range(200):
                try:
                    ask()
                    break
                except OSError:
                    assert server.poll() is None, server.stderr and server.stderr.read()
                    time.sleep(0.1)
            pids = set()
            for number in range(20):
                answer = ask(f"add=worker{number}")
                pids.add(answer["pid"])
                assert f"worker{number}" in answer["found"]  # type: ignore[operator]
            assert len(pids) >= 1
        finally:
            server.terminate()
        server.wait(timeout=30)
    assert {f"worker{number}" for number in range(20)} <= keys_elsewhere(shop)
    with Catalog.open(shop) as catalog:
        assert catalog.verify().problems == []


def test_a_fork_waits_for_the_transaction_of_another_thread(shop: Path) -> None:
    with Catalog.open(shop) as catalog:
        entered, order = threading.Event(), []

        def write() -> None:
            with catalog._core.records._database.immediate():
                entered.set()
                time.sleep(0.3)
                order.append("written")

        thread = threading.Thread(target=write)
        thread.start()
        entered.wait()
        said = in_a_child(lambda: [*order, catalog.add_vectors(["child2"], ROWS[:1]) > 0])
        thread.join()
    assert said == "['written', True]"
    assert "child2" in keys_elsewhere(shop)


def test_a_child_forked_in_the_middle_of_a_transaction_opens_nothing_and_harms_nothing(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forks, "_WAIT_S", 0.1)
    with Catalog.open(shop) as catalog:
        entered, go_on = threading.Event(), threading.Event()

        def write() -> None:
            with catalog._core.records._database.immediate() as connection:
                connection.execute("UPDATE commits SET summary = 'half'")
                entered.set()
                go_on.wait()

        thread = threading.Thread(target=write)
        thread.start()
        entered.wait()
        said = in_a_child(lambda: catalog.get(["k1"]))
        assert said.startswith(StorageFailed.__name__) and "forked while its parent was writing" in said
        assert in_a_child(lambda: Catalog.open(shop)).startswith(StorageFailed.__name__)
        assert in_a_child(catalog.close) == "None"
        go_on.set()
        thread.join()
        assert {commit.summary for commit in catalog.log()} == {"half"}
        assert catalog.verify().problems == []
        catalog.add_vectors(["parent1"], ROWS[:1])
    assert "parent1" in keys_elsewhere(shop)


def test_a_thread_that_forks_within_its_own_transaction_keeps_it(shop: Path) -> None:
    with Catalog.open(shop) as catalog:
        with catalog._core.records._database.immediate() as connection:
            connection.execute("UPDATE commits SET summary = 'own'")
            said = in_a_child(lambda: catalog.get(["k1"]))
        assert said.startswith(StorageFailed.__name__)
        assert catalog.log(1)[0].summary == "own"
        assert in_a_child(lambda: catalog.log(1)[0].summary) == "own"


def test_what_was_begun_before_a_fork_is_refused_in_the_child_and_goes_on_in_the_parent(shop: Path) -> None:
    with Catalog.open(shop) as catalog:
        items = catalog.items(batch=5)
        cursor = catalog._core.records._database.connection.execute("SELECT id FROM items")
        first = [cursor.fetchone()[0], next(items).key]
        said = in_a_child(cursor.fetchone)
        assert said.startswith("UsageError: This was begun before the process was forked")
        assert in_a_child(lambda: len(list(items))) == "19"  # pages read anew
        assert first == [1, "k0"] and cursor.fetchone()[0] == 2
        assert len(list(items)) == 19


def test_a_child_of_a_child_opens_its_own_connections(shop: Path) -> None:
    with Catalog.open(shop) as catalog:
        catalog.get(["k1"])
        said = in_a_child(
            lambda: [
                catalog.add_vectors(["child3"], ROWS[:1]) > 0,
                in_a_child(lambda: catalog.add_vectors(["child4"], ROWS[:1]) > 0),
                catalog.add_vectors(["child5"], ROWS[:1]) > 0,
            ]
        )
        assert said == "[True, 'True', True]"
        catalog.add_vectors(["parent2"], ROWS[:1])
    assert {"child3", "child4", "child5", "parent2"} <= keys_elsewhere(shop)


def test_the_thread_that_forks_lets_go_of_its_own_lock_in_the_child_and_in_the_parent() -> None:
    lock = forks.ForkSafeLock()
    with lock:
        assert in_a_child(lock.release) == "None"
    with pytest.raises(RuntimeError, match="un-acquired"):
        lock.release()


def test_locks_that_a_thread_held_are_free_in_the_child() -> None:
    lock = forks.ForkSafeLock()
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            go_on.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    assert in_a_child(lambda: lock.acquire(timeout=1)) == "True"
    assert not lock.acquire(timeout=0)
    go_on.set()
    thread.join()


def test_memory_for_decoding_that_a_thread_had_taken_is_free_in_the_child() -> None:
    taken, go_on = threading.Event(), threading.Event()

    def take() -> None:
        with decode_memory.reserve(decode_memory.size):
            taken.set()
            go_on.wait()

    def decode_in_child() -> str:
        with decode_memory.reserve(decode_memory.size):
            return "free"

    thread = threading.Thread(target=take)
    thread.start()
    taken.wait()
    assert in_a_child(decode_in_child) == "free"
    go_on.set()
    thread.join()


def test_what_needs_threads_is_refused_only_in_such_a_child() -> None:
    forks.needs_threads()
    with pytest.raises(UsageError), pytest.MonkeyPatch.context() as patch:
        patch.setattr(forks, "_can_search", False)
        forks.needs_threads()


def test_no_thread_imports_a_module_at_its_first_use_of_a_catalog(tmp_path: Path) -> None:
    code = """
import sys, threading
from pathlib import Path
from types import SimpleNamespace
import numpy as np, polars as pl
from PIL import Image
from lookalike import Catalog
from tests.fakes import fake_models
Catalog.open, pl.DataFrame({"key": ["z"], "vector": [[1.0, 0, 0, 0]]}).write_parquet(sys.argv[1] + ".parquet")
found = []
sys.addaudithook(lambda event, given: found.append(given[0]) if (
    event == "import" and threading.current_thread() is not threading.main_thread()) else None)

def ready_vectors():
    with Catalog.create(sys.argv[1], dim=4) as shop:
        shop.add_vectors(["a", "b", "c"], np.eye(4)[:3], {"n": [1, 2, 3], "s": ["x", "y", None], "t": [["u"]] * 3})
        shop.update(["a"], {"n": np.array([5])})
        shop.change_fields(retype={"n": "float"}, rename={"t": "tags"})
        shop.delete(["c"])
        shop.get("a"), list(shop.items()), shop.log(), shop.info(), shop.keys(["a"])
        shop.import_parquet(sys.argv[1] + ".parquet")
        shop.search(vector=np.eye(4)[0], filter='n > 1 and s like "x%" or array_contains(tags, "u")')
        shop.search_many(np.eye(4)[:2]), shop.facets(), shop.search(as_of=1, limit=1).to_dicts()
        shop.optimize(), shop.search(limit=1, filter="n > 1"), shop.measure_recall()
        shop.backup(sys.argv[1] + "backup"), shop.purge(1), shop.verify()

def pictures():
    fake_models(SimpleNamespace(setattr=setattr))
    folder = Path(sys.argv[1] + "pictures")
    folder.mkdir()
    for kind in ("png", "gif", "webp", "jpg", "tiff"):
        Image.new("RGB", (9, 9), "red").save(folder / f"red.{kind}")
    (folder / "feed.csv").write_text("id,image,title\\n1,red.png,Red\\n2,red.jpg,Red\\n")
    with Catalog.create(sys.argv[1] + "shop", model="colour") as shop:
        shop.index(folder).finish(), shop.index(folder / "feed.csv").finish()
        shop.search("red"), shop.search(image=folder / "red.png")

thread = threading.Thread(target=ready_vectors)
thread.start(), thread.join()
pictures()
print(*found)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "shop")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.split() == []

"""Many processes write to one catalog while others open it, close it, fork, copy its file and are killed.

Every commit that was acknowledged must be there at the end. `python -m tests.test_lock_stress 60 8` does so for 60
seconds with 8 processes and prints what it found.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from lookalike import Catalog
from lookalike.data.errors import CatalogBusy
from lookalike.retrieval.maintenance.verification import verify
from tests.conftest import ROOT

pytestmark = pytest.mark.kill

DIM = 8
MOST_S = 3.0
ROWS = np.random.default_rng(3).standard_normal((64, DIM))


@dataclass
class Notes:
    """What workers say: one short line a write, which the system appends as a whole."""

    folder: Path

    def say(self, name: str, text: str) -> None:
        with (self.folder / name).open("ab", buffering=0) as file:
            file.write(f"{text}\n".encode())

    def read(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


class Worker:
    """One process that uses the catalog in its own way until it is killed or the time is over."""

    def __init__(self, shop: Path, notes: Notes, name: str, until: float) -> None:
        self._shop = shop
        self._notes = notes
        self._name = name
        self._until = until
        self._count = 0
        self._lock = threading.Lock()

    def run(self) -> None:
        role = (self._app, self._commands, self._forking, self._app_with_copies)[int(self._name.split("-")[0]) % 4]
        if self._name.startswith("0-"):
            role = self._keeper
        role()

    def _going_on(self) -> bool:
        return time.monotonic() < self._until

    def _add(self, catalog: Catalog, mark: str = "") -> None:
        with self._lock:
            self._count += 1
            key = f"{self._name}{mark}-{self._count}"
        try:
            catalog.add_vectors([key], ROWS[:1], {"by": [self._name]})
        except BaseException as error:
            self._fail(error)
        self._notes.say("acknowledged", key)

    def _fail(self, error: BaseException) -> NoReturn:
        self._notes.say("errors", f"{self._name} {type(error).__name__}: {error}")
        os._exit(1)

    def _try(self, call: Callable[[], object]) -> None:
        try:
            call()
        except CatalogBusy:  # another worker optimizes
            self._notes.say("busy", self._name)
        except BaseException as error:
            self._fail(error)

    def _app(self, beside: Callable[[], None] = lambda: None) -> None:
        """Keep one handle for two writing threads, and open another for each request."""
        with Catalog.open(self._shop) as catalog:
            threads = [threading.Thread(target=self._writing, args=(catalog,)) for _ in range(2)]
            for thread in threads:
                thread.start()
            while self._going_on():
                self._try(self._request)
                beside()
                time.sleep(0.01)
            for thread in threads:
                thread.join()

    def _writing(self, catalog: Catalog) -> None:
        while self._going_on():
            self._add(catalog)

    def _request(self) -> None:
        with Catalog.open(self._shop) as catalog:
            catalog.get(["seed"])
            catalog.log(1)

    def _app_with_copies(self) -> None:
        """As an app in which code of others reads the file and closes it, which drops the POSIX locks on it."""
        copy = self._notes.folder / f"copy-{self._name}"
        self._app(lambda: self._try(lambda: shutil.copyfile(self._shop / "records.sqlite", copy)))

    def _commands(self) -> None:
        """Open the catalog for each commit, as a command does."""
        while self._going_on():
            with Catalog.open(self._shop) as catalog:
                for _ in range(3):
                    self._add(catalog)

    def _forking(self) -> None:
        """Fork while a thread writes; parent and child both go on."""
        with Catalog.open(self._shop) as catalog:
            writer = threading.Thread(target=self._writing, args=(catalog,), daemon=True)
            writer.start()
            number = 0
            while self._going_on():
                number += 1
                child = os.fork()
                if child == 0:
                    for _ in range(5):
                        self._add(catalog, f"child{number}")
                    if number % 2:
                        catalog.close()
                    os._exit(0)
                os.waitpid(child, 0)
            writer.join()

    def _keeper(self) -> None:
        """Search, optimize, back up and purge."""
        backups = self._notes.folder / f"backups-{self._name}"
        with Catalog.open(self._shop) as catalog:
            while self._going_on():
                self._try(lambda: catalog.search(vector=ROWS[0], limit=5))
                self._try(catalog.optimize)
                self._try(lambda: catalog.backup(backups, keep=2))
                self._try(lambda: catalog.purge(catalog.log(1)[0].seq - 50))
                self._add(catalog)


def start(shop: Path, notes: Notes, name: str, until: float) -> int:
    child = os.fork()
    if child == 0:
        try:
            os.setpgid(0, 0)
            Worker(shop, notes, name, until).run()
        except BaseException as error:
            notes.say("errors", f"{name} {type(error).__name__}: {error}")
        finally:
            os._exit(0)
    return child


def stress(folder: Path, seconds: float, processes: int, seed: int) -> Counter[str]:
    """Run writing processes for some seconds, killing one of them now and then; return counts of the outcomes."""
    shop, notes, chance = folder / "shop", Notes(folder), random.Random(seed)
    with Catalog.create(shop, dim=DIM) as catalog:
        catalog.add_vectors(["seed"], ROWS[:1])
    until = time.monotonic() + seconds
    running = {slot: start(shop, notes, f"{slot}-0", until) for slot in range(processes)}
    number = kills = 0
    while time.monotonic() < until - 0.5:
        time.sleep(chance.uniform(0.2, 0.6))
        slot = chance.randrange(processes)
        number += 1
        os.killpg(running[slot], signal.SIGKILL)
        os.waitpid(running[slot], 0)
        kills += 1
        running[slot] = start(shop, notes, f"{slot}-{number}", until)
    for child in running.values():
        os.waitpid(child, 0)
    acknowledged = notes.read("acknowledged")
    with Catalog.open(shop) as catalog:
        there = {item.key for item in catalog.items()}
    lost = [key for key in acknowledged if key not in there]
    problems = verify(shop).problems
    for text in [*notes.read("errors"), *lost[:5], *map(str, problems[:5])]:
        sys.stderr.write(f"{text}\n")
    return Counter(
        acknowledged=len(acknowledged),
        there=len(there),
        lost=len(lost),
        errors=len(notes.read("errors")),
        busy=len(notes.read("busy")),
        problems=len(problems),
        kills=kills,
    )


@pytest.mark.parametrize("processes", [2, 4, 8])
@pytest.mark.usefixtures("tmp_path")  # lets temporary files lie on a disk
def test_nothing_acknowledged_is_lost_whatever_other_processes_do(processes: int) -> None:
    # In a process of its own: the children of one that has searched, as that of the tests may have, cannot search.
    command = [sys.executable, "-m", "tests.test_lock_stress", str(MOST_S), str(processes)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["acknowledged"] > 20 and found["kills"] > 2
    assert (found["lost"], found["errors"], found["problems"]) == (0, 0, 0), done.stderr


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        counts = stress(Path(made), float(sys.argv[1]), int(sys.argv[2]), seed=int(sys.argv[2]))
        sys.stdout.write(f"{json.dumps(counts)}\n")

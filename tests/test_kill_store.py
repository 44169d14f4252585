"""A process that adds, updates, deletes, optimizes, backs up and purges is killed at random moments, again and again.

It says of each step when it is done. After each kill the catalog must be in the state of the last step it said so of,
or in the one that the step under way leads to: keys, fields, vectors bit by bit, searches, earlier states, the last
backup.
`python -m tests.test_kill_store 200` does so 200 times and prints what it found.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike import Catalog
from lookalike.data.errors import UsageError
from lookalike.data.item import Json
from lookalike.retrieval.maintenance.verification import verify

pytestmark = pytest.mark.kill

ROOT = Path(__file__).parent.parent
DIM = 8
KEYS = [f"k{number:03}" for number in range(400)]
KINDS = ("add", "update", "delete", "delete by filter", "optimize", "backup", "purge")
SHARES = (0.36, 0.17, 0.12, 0.06, 0.06, 0.13, 0.10)
INDEXES = (None, "flat", "hnsw", "ivf_sq8")
MOST_S = 0.6

State = Mapping[str, tuple[bytes, dict[str, Json]]]
"""What a catalog holds: by key the vector as stored, and the fields."""


@dataclass(frozen=True)
class Step:
    """What to do next; follows from its number and the state it is done in."""

    kind: str
    keys: Sequence[str] = ()
    rows: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, DIM), np.float32))
    price: int = 0
    index: str | None = None
    before: int = 0

    @classmethod
    def of(cls, number: int, present: Sequence[str], newest: int) -> Step:
        chance = np.random.default_rng([7, number])
        kind = "add" if len(present) < 20 else str(chance.choice(KINDS, p=SHARES))
        price = int(chance.integers(0, 10))
        if kind == "add":
            count = int(chance.choice([1, 5, 60, 300]))
            keys = [KEYS[place] for place in chance.choice(len(KEYS), count, replace=False)]
            return cls(kind, keys, chance.standard_normal((count, DIM)).astype(np.float32), price)
        if kind in ("update", "delete"):
            keys = [present[place] for place in chance.choice(len(present), int(chance.integers(1, 15)), replace=False)]
            return cls(kind, keys, price=price)
        index = INDEXES[int(chance.integers(len(INDEXES)))]
        return cls(kind, price=price, index=index, before=max(newest - int(chance.integers(0, 6)), 0))

    def commits(self) -> bool:
        return self.kind in KINDS[:4]

    def perform(self, catalog: Catalog, backups: Path) -> str:
        match self.kind:
            case "add":
                prices = [self.price + place for place in range(len(self.keys))]
                catalog.add_vectors(self.keys, self.rows, {"price": prices, "brand": ["new"] * len(self.keys)})
            case "update":
                catalog.update(
                    self.keys, {"price": [self.price] * len(self.keys), "note": ["changed"] * len(self.keys)}
                )
            case "delete":
                catalog.delete(keys=self.keys)
            case "delete by filter":
                catalog.delete(filter=f"price == {self.price}")
            case "optimize":
                catalog.optimize(index=self.index)
            case "backup":
                return catalog.backup(backups, keep=10).snapshot.name
            case "purge":
                catalog.purge(self.before)
        return "-"

    def after(self, state: State) -> State:
        match self.kind:
            case "add":
                halves = self.rows.astype(np.float16)
                return {**state} | {
                    key: (row.tobytes(), {"price": self.price + place, "brand": "new"})
                    for place, (key, row) in enumerate(zip(self.keys, halves, strict=True))
                }
            case "update":
                changed: dict[str, Json] = {"price": self.price, "note": "changed"}
                return {**state} | {key: (state[key][0], state[key][1] | changed) for key in self.keys}
            case "delete":
                return {key: held for key, held in state.items() if key not in set(self.keys)}
            case "delete by filter":
                return {key: held for key, held in state.items() if held[1]["price"] != self.price}
        return state


@dataclass
class Model:
    """What was acknowledged: the state after every commit, the last backup, the oldest states kept and perhaps kept."""

    states: dict[int, State] = field(default_factory=lambda: {0: {}})
    newest: int = 0
    oldest: int = 0
    oldest_for_sure: int = 0
    number: int = 0
    backup: tuple[str, int] | None = None

    @property
    def state(self) -> State:
        return self.states[self.newest]

    def next(self) -> Step:
        return Step.of(self.number, sorted(self.state), self.newest)

    def does_commit(self, step: Step) -> bool:
        """Return whether a step makes a commit; deleting by a filter that nothing satisfies makes none."""
        return step.commits() and not (step.kind == "delete by filter" and step.after(self.state) == self.state)

    def take(self, note: str) -> None:
        step = self.next()
        if self.does_commit(step):
            self.states[self.newest + 1] = step.after(self.state)
            self.newest += 1
        if step.kind == "purge":
            self.oldest = max(self.oldest, step.before)
            self.oldest_for_sure = max(self.oldest_for_sure, step.before)
        if step.kind == "backup":
            self.backup = note, self.newest
        self.number += 1

    def leave(self) -> None:
        """Record that a step was interrupted: a purge may have begun, and it is not tried again."""
        step = self.next()
        if step.kind == "purge":
            self.oldest = max(self.oldest, step.before)
        self.number += 1


@dataclass
class Report:
    """How many kills there were, in which steps, how many of those steps were whole, and what was wrong."""

    kills: int = 0
    steps: int = 0
    under_way: Counter[str] = field(default_factory=Counter)
    whole: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.under_way.most_common())
        lines = [
            f"{self.kills} kills, {self.steps} steps acknowledged; killed during: {kinds}",
            f"commits that were whole though not yet acknowledged: {self.whole}",
            f"lost, doubled or damaged: {len(self.wrong)}",
        ]
        return "\n".join([*lines, *self.wrong])


def child(folder: Path, backups: Path) -> None:
    """Go on from the step whose number comes in, until killed."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    number = int(sys.stdin.readline())
    with Catalog.open(folder) as catalog:
        while True:
            step = Step.of(number, sorted(catalog.keys(KEYS)), catalog._core.records.version()[0])
            sys.stdout.write(f"begin {step.kind}\n")
            sys.stdout.flush()
            sys.stdout.write(f"done {step.perform(catalog, backups)}\n")
            sys.stdout.flush()
            number += 1


def start(folder: Path, backups: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.test_kill_store", "child", str(folder), str(backups)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process


def differences(catalog: Catalog, state: State, as_of: int | None, chance: np.random.Generator) -> Iterator[str]:
    """Yield what is not as in the model."""
    found = {
        item.key: {name: value for name, value in item.fields.items() if value is not None}
        for item in catalog.items(as_of=as_of)
    }
    if lost := state.keys() - found.keys():
        yield f"lost: {sorted(lost)[:5]}"
    if more := found.keys() - state.keys():
        yield f"not to be there: {sorted(more)[:5]}"
    if changed := [key for key in found.keys() & state.keys() if found[key] != state[key][1]]:
        yield f"other fields: {changed[0]} {found[changed[0]]} for {state[changed[0]][1]}"
    if (count := catalog.count(as_of=as_of)) != len(state):
        yield f"counted {count} of {len(state)}"
    ids = {row.id: row.key for row in catalog._core.records.items(as_of=as_of)}
    rows = catalog._core.records.vectors("image", DIM, as_of=as_of)
    vectors = [(ids.get(int(item), ""), row.tobytes()) for item, row in zip(rows.item_ids, rows.vectors, strict=True)]
    if len(vectors) != len(state):
        yield f"{len(vectors)} vectors for {len(state)} items"
    if changed := [key for key, vector in vectors if key not in state or vector != state[key][0]]:
        yield f"other vectors: {changed[:5]}"
    keys = sorted(state)
    stored = np.array([np.frombuffer(state[key][0], np.float16) for key in keys], np.float64).reshape(-1, DIM)
    for filter, passing in (
        (None, keys),
        ("price >= 8", [key for key in keys if int(str(state[key][1]["price"])) >= 8]),
    ):
        query = chance.standard_normal(DIM).astype(np.float32)
        scores = dict(zip(keys, stored @ query, strict=True))
        if not passing and filter and not any("price" in held[1] for held in state.values()):
            continue
        hits = catalog.search(vector=query, filter=filter, limit=10, recall="exact", as_of=as_of)
        best = sorted((scores[key] for key in passing), reverse=True)[:10]
        right = len(set(hits.keys)) == len(best) and set(hits.keys) <= set(passing)
        if not right or not np.allclose([scores[key] for key in hits.keys], best, atol=1e-3):
            yield f"another answer to a search (filter {filter})"


def compare(folder: Path, backups: Path, model: Model, report: Report, chance: np.random.Generator) -> None:
    """Compare a catalog with the model after a kill; the model takes over a step that turns out to be whole."""
    step = model.next()
    wrong: list[str] = []
    with Catalog.open(folder) as catalog:
        newest = catalog._core.records.version()[0]
        if newest == model.newest + 1 and model.does_commit(step):
            model.take("-")
            report.whole += 1
        elif newest != model.newest:
            wrong.append(f"commit {newest}, the last acknowledged is {model.newest}")
        else:
            model.leave()
        wrong += differences(catalog, model.state, None, chance)
        kept = [seq for seq in model.states if max(model.oldest, 1) <= seq < model.newest]
        for seq in chance.permutation(kept)[:3].tolist():
            wrong += [f"as of {seq}: {one}" for one in differences(catalog, model.states[seq], seq, chance)]
        if model.oldest_for_sure > 1:
            try:
                catalog.count(as_of=model.oldest_for_sure - 1)
                wrong.append(f"commit {model.oldest_for_sure - 1} is purged, and answers")
            except UsageError:
                pass
    wrong += [f"verify: {problem.what} {problem.where}" for problem in verify(folder).problems]
    if model.backup is not None:
        restored = folder.with_name("restored")
        name, commit = model.backup
        Catalog.restore(backups, restored, snapshot=name)
        with Catalog.open(restored) as again:
            if again._core.records.version()[0] != commit:
                wrong.append(f"the backup is of commit {again._core.records.version()[0]} instead of {commit}")
            wrong += [f"backup: {one}" for one in differences(again, model.states[commit], None, chance)]
        shutil.rmtree(restored)
    report.wrong += [f"kill {report.kills} during {step.kind}: {one}" for one in wrong]


def leftovers(folder: Path, backups: Path) -> list[str]:
    """Finish what was cut short, and return what lies around nevertheless."""
    with Catalog.open(folder) as catalog:
        name = catalog.optimize()
        catalog.backup(backups, keep=10)
    found = {path.name for path in (folder / "generations").iterdir()} - {name}
    found |= {path.name for path in (backups / "building").iterdir()} - {"lock"}
    found |= {path.name for path in folder.iterdir()} - {
        *("catalog.json", "generations", "index.lock", "optimize.lock", "records.sqlite", "thumbnails")
    }
    return sorted(found)


def kill_and_compare(place: Path, kills: int, seed: int) -> Report:
    moments, chance = random.Random(seed), np.random.default_rng(seed)
    folder, backups = place / "shop", place / "backups"
    Catalog.create(folder, dim=DIM, metric="ip").close()
    model, report = Model(), Report()
    waiting = start(folder, backups)
    try:
        for _ in range(kills):
            process = waiting
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.stdin.write(f"{model.number}\n")
            process.stdin.flush()
            time.sleep(moments.uniform(0, MOST_S))
            assert process.poll() is None, "the child failed of itself"
            process.kill()
            lines = process.communicate()[0].splitlines()
            waiting = start(folder, backups)
            report.kills += 1
            for line in lines:
                if line.startswith("done "):
                    model.take(line.removeprefix("done "))
                    report.steps += 1
            begun = bool(lines) and lines[-1].startswith("begin ")
            report.under_way[lines[-1].removeprefix("begin ") if begun else "opening, or between steps"] += 1
            compare(folder, backups, model, report, chance)
    finally:
        waiting.kill()
        waiting.communicate()
    report.wrong += [f"left over: {one}" for one in leftovers(folder, backups)]
    return report


@pytest.mark.parametrize("seed", [1])
def test_a_store_that_is_killed_keeps_all_it_has_acknowledged(tmp_path: Path, seed: int) -> None:
    report = kill_and_compare(tmp_path, 6, seed)
    assert report.wrong == []
    assert report.steps > 0


if __name__ == "__main__":
    if sys.argv[1] == "child":
        child(Path(sys.argv[2]), Path(sys.argv[3]))
    with tempfile.TemporaryDirectory() as temporary:
        found = kill_and_compare(Path(temporary), int(sys.argv[1]), seed=2)
    sys.stdout.write(f"{found}\n")
    sys.exit(bool(found.wrong))

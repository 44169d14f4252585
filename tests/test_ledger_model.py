"""Random runs over a feed that changes, compared with a ledger and a catalog that are plain dictionaries."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lookalike.retrieval.core
import lookalike.retrieval.ingest.index_run
import lookalike.retrieval.ingest.worker_pool
from lookalike import Catalog
from lookalike.data.errors import SyncRefused
from lookalike.data.feeds.feed import open_feed
from lookalike.retrieval.ingest.dry_run import Action, DryRun
from lookalike.retrieval.ingest.index_run import IndexRun, RunOptions
from tests.fakes import ColourEncoder
from tests.test_indexing import picture, write_feed

pytestmark = pytest.mark.slow

KEYS, FILES = "abcdef", range(5)
BROKEN = 0

Name = tuple[str | None, int]
"""What an entry goes by: a key and a part, or no key and a row's negative number."""


@dataclass(frozen=True)
class Row:
    """A row of the feed: its key, its pictures by number, and its price."""

    key: str | None
    pictures: tuple[int, ...]
    price: int

    def text(self) -> str:
        return f"{self.key or ''},{'|'.join(f'{one}.png' for one in self.pictures)},t,{self.price}"


@dataclass(frozen=True)
class Step:
    """A feed, what each picture's file shows (`BROKEN`: nothing), and how the run over it goes."""

    rows: tuple[Row, ...]
    shown: tuple[int, ...]
    mode: str
    stop: int | None


@dataclass(frozen=True)
class Entry:
    state: str
    attempts: int
    row: int
    first_run: int
    last_run: int


@dataclass
class Model:
    """What the ledger and the catalog should hold."""

    ledger: dict[Name, Entry] = field(default_factory=dict)
    items: dict[str, tuple[object, ...]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def leaving(self, step: Step) -> set[str]:
        present = {row.key for row in step.rows}
        return {key for key, part in self.ledger if key in self.items and key not in present and part == 0}

    def refused(self, step: Step) -> bool:
        """Whether a removal is refused, and so the whole run."""
        leaving = self.leaving(step)
        brought = sum(part == 0 and key in self.items for key, part in self.ledger)
        unreadable = any(row.key is None for row in step.rows)
        return step.mode == "sync" and bool(leaving) and (unreadable or len(leaving) > brought / 2)

    def run(self, step: Step, run: int) -> Model:
        """Return what it should be after a run to the end; `counts` are the report's."""
        after = Model(dict(self.ledger), dict(self.items))
        first_of: set[str] = set()
        for number, row in enumerate(step.rows, start=1):
            again = row.key in first_of
            if row.key is not None:
                first_of.add(row.key)
            by_row: Name = (None, -number)
            to_retry = by_row in self.ledger or (
                not again
                and row.key is not None
                and any(key == row.key and one.state == "rejected" for (key, _), one in self.ledger.items())
            )
            if step.mode == "retry" and not to_retry:
                continue
            after.take(row, number, again, step, run)
        if step.mode != "retry":
            for name, one in list(after.ledger.items()):
                if one.last_run < run and name[1] == 0:
                    after.ledger[name] = replace(one, state="missing")
                elif one.last_run < run:
                    del after.ledger[name]
        if step.mode in ("sync", "force"):
            leaving = self.leaving(step)
            after.counts["deleted"] = len(leaving)
            for key in leaving:
                del after.items[key]
        return after

    def take(self, row: Row, number: int, again: bool, step: Step, run: int) -> None:
        bad = [place for place, one in enumerate(row.pictures, start=1) if step.shown[one] == BROKEN]
        self.counts["rows"] += 1
        rejected: list[Name] = []
        if row.key is None or again:
            rejected = [(None, -number)]
        elif len(bad) == len(row.pictures):
            rejected = [(row.key, 0), *((row.key, place) for place in bad[1:])]
        else:
            rejected = [(row.key, place) for place in bad]
            good = [(f"{one}.png", step.shown[one]) for one in row.pictures if step.shown[one] != BROKEN]
            item = (row.price, *good)
            state = "unchanged" if self.items.get(row.key) == item else "indexed"
            self.counts[state if state == "unchanged" else "updated" if row.key in self.items else "added"] += 1
            self.items[row.key] = item
            self.note((row.key, 0), state, number, run)
        for name in rejected:
            self.counts["rejected"] += 1
            self.note(name, "rejected", number, run)
        for name, one in list(self.ledger.items()):
            mended = name == (None, -number) or (row.key is not None and not again and name[0] == row.key and name[1])
            if mended and one.last_run < run:
                del self.ledger[name]

    def note(self, name: Name, state: str, number: int, run: int) -> None:
        before = self.ledger.get(name)
        attempts = (before.attempts if before else 0) + (state != "unchanged")
        self.ledger[name] = Entry(state, attempts, number, before.first_run if before else run, run)


def seen(catalog: Catalog, versions: dict[bytes, int]) -> tuple[dict[Name, Entry], dict[str, tuple[object, ...]]]:
    """The ledger and the items of a catalog, in the model's terms."""
    ledger: dict[Name, Entry] = {}
    rows = catalog._core.records._database.connection.execute(
        "SELECT key, part, state, attempts, row, first_run, last_run FROM ledger"
    ).fetchall()
    for key, part, *rest in rows:
        ledger[(key, part) if part >= 0 else (None, part)] = Entry(*rest)
    assert len(ledger) == len(rows)
    items: dict[str, tuple[object, ...]] = {}
    for item in catalog.items():
        shown = ((image.source, versions[image.sha256]) for image in item.images)
        items[item.key] = item.fields["price"], *shown
    return ledger, items


def compare(catalog: Catalog, folder: Path, step: Step, number: int, model: Model, versions: dict[bytes, int]) -> Model:
    """Run a step, check all that can be seen of it, and return the model after it."""
    for one, shown in enumerate(step.shown):
        path = folder / f"{one}.png"
        if shown == BROKEN:
            path.write_text("broken")
        else:
            picture(path, shown)
    feed = open_feed(write_feed(folder, [row.text() for row in step.rows]), types=catalog._core.records.schema())
    options = RunOptions(sync=step.mode in ("sync", "force"), force=step.mode == "force", retry=step.mode == "retry")
    plan = DryRun(catalog._core, feed, **options)
    for _ in plan:
        pass
    assert bool(plan.refused) == model.refused(step)
    run = IndexRun(catalog._core, feed, **options)
    expected = model.run(step, number)
    if model.refused(step):
        with pytest.raises(SyncRefused):
            list(run)
        assert seen(catalog, versions) == (model.ledger, model.items)
        return model
    for report in run:
        if step.stop is not None and step.stop < report.rows < run.count:
            return stopped(catalog, model, expected, number, versions)
    assert seen(catalog, versions) == (expected.ledger, expected.items)
    counts = {name: getattr(report, name) for name in ("rows", "added", "updated", "unchanged", "rejected", "deleted")}
    assert counts == {name: expected.counts[name] for name in counts}
    assert report.rejected == len(list(catalog._core.records.ledger.rejects_of(report.run)))
    changed = plan.counts[Action.UPDATE] + plan.counts[Action.REPRICE]
    planned = (plan.rows, plan.counts[Action.ADD], changed, plan.counts[Action.LEAVE], plan.counts[Action.REJECT])
    assert planned == (report.rows, report.added, report.updated, report.unchanged, report.rejected)
    assert plan.counts[Action.DELETE] == report.deleted
    return Model(expected.ledger, expected.items)


def stopped(catalog: Catalog, before: Model, after: Model, number: int, versions: dict[bytes, int]) -> Model:
    """Check a run that was stopped: every entry and item is as before or as after, and the two agree."""
    ledger, items = seen(catalog, versions)
    for name in before.ledger.keys() | after.ledger.keys() | ledger.keys():
        found = ledger.get(name)
        expected = after.ledger.get(name)
        assert found == before.ledger.get(name) or (found == expected and (found is None or found.last_run == number))
    for key in before.items.keys() | after.items.keys() | items.keys():
        entry = ledger.get((key, 0))
        reached = entry is not None and entry.last_run == number and entry.state in ("indexed", "unchanged")
        assert items.get(key) == (after if reached else before).items.get(key)
    return Model(ledger, items)


ROWS = st.lists(
    st.builds(
        Row,
        key=st.one_of(st.sampled_from(KEYS), st.sampled_from(KEYS), st.sampled_from(KEYS), st.none()),
        pictures=st.lists(st.sampled_from(FILES), max_size=3, unique=True).map(tuple),
        price=st.integers(0, 2),
    ),
    min_size=1,
    max_size=7,
).map(tuple)
STEPS = st.lists(
    st.builds(
        Step,
        rows=ROWS,
        shown=st.tuples(*[st.integers(BROKEN, 3) for _ in FILES]),
        mode=st.sampled_from(["all", "all", "sync", "force", "retry"]),
        stop=st.one_of(st.none(), st.none(), st.integers(0, 6)),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_the_ledger_is_a_dictionary(steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(lookalike.retrieval.core, "load_encoder", lambda name, **_: ColourEncoder())
        patch.setattr(lookalike.retrieval.ingest.worker_pool, "_BATCH_ON_CPU", 2)
        patch.setattr(lookalike.retrieval.ingest.index_run, "_COMMIT_EVERY_S", 0.0)
        folder = Path(place)
        versions = {hashlib.sha256(picture(folder / "p.png", one)).digest(): one for one in range(1, 4)}
        with Catalog.create(folder / "shop", model="compact") as catalog:
            model = Model()
            for step in steps:
                run = catalog._core.records._database.connection.execute("SELECT coalesce(max(id), 0) + 1 FROM runs")
                model = compare(catalog, folder, step, run.fetchone()[0], model, versions)
            assert catalog.verify().problems == []

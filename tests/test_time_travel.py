from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from numpy.typing import NDArray

from lookalike import Catalog
from lookalike.data.errors import ItemNotFound, UsageError
from lookalike.data.feeds.feed import open_feed
from lookalike.data.item import Value
from lookalike.retrieval.ingest.index_run import IndexRun
from tests.fakes import ColourEncoder
from tests.test_catalog import stored
from tests.test_indexing import picture

DIM = 4
State = dict[str, tuple[NDArray[np.float64], int | None, str | None]]
"""Key -> vector, price, brand."""


def rows_of(*numbers: int) -> NDArray[np.float32]:
    return np.stack([np.random.default_rng(number).standard_normal(DIM) for number in numbers]).astype(np.float32)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog.create(tmp_path / "shop", dim=DIM) as made:
        yield made


@pytest.fixture
def aged(catalog: Catalog) -> Catalog:
    """Commit 1 adds a, b, c; 2 changes a; 3 deletes b; 4 adds d; an hour apart, the first at 2026-01-01."""
    catalog.add_vectors(["a", "b", "c"], rows_of(1, 2, 3), {"price": [1, 2, 3]})
    catalog.add_vectors(["a"], rows_of(9), {"price": [10]})
    catalog.delete(keys=["b"])
    catalog.add_vectors(["d"], rows_of(4), {"price": [4]})
    first = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    catalog._core.records._database.connection.execute("UPDATE commits SET time = ? + 3600 * (seq - 1)", (first,))
    return catalog


def test_a_state_is_named_by_a_commit_a_time_or_text(aged: Catalog) -> None:
    prices = {1: {"a": 1, "b": 2, "c": 3}, 2: {"a": 10, "b": 2, "c": 3}, 3: {"a": 10, "c": 3}}
    for commit, expected in prices.items():
        moments: list[int | str | datetime] = [
            commit,
            str(commit),
            datetime(2026, 1, 1, commit - 1, 30),
            f"2026-01-01T{commit - 1:02}:59:59.999999",
            f"2026-01-01T{commit + 1:02}:30+02:00",
            aged.log()[-commit].when,
        ]
        for moment in moments:
            hits = aged.search(vector=rows_of(1)[0], as_of=moment)
            assert {hit.key: hit.fields["price"] for hit in hits} == expected, moment
            assert aged.count(as_of=moment) == len(expected)
            assert aged.keys(["a", "b", "c", "d"], as_of=moment) == list(expected)
            assert [item.fields["price"] for item in aged.get(list(expected), as_of=moment)] == list(expected.values())
    assert aged.search(vector=rows_of(1)[0], as_of=1).scores[0] == pytest.approx(1, abs=1e-3)
    assert aged.search(vector=rows_of(1)[0], as_of=2).scores[0] < 0.99
    assert aged.search_many(rows_of(2), as_of=2)[0].keys[0] == "b"
    assert aged.search(like="b", as_of=2, limit=5).total == 2
    assert aged.count(filter="price > 5", as_of=1) == 0
    assert aged.facets(["price"], as_of=2)[0].high == 10
    assert aged.facets(["price"], as_of=1)[0].high == 3


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        (0, "the oldest that is kept is commit 1 of 2026-01-01 00:00:00"),
        (-3, "the oldest that is kept is commit 1"),
        ("2025-12-31", "the oldest that is kept is commit 1"),
        (5, "There is no commit 5 yet: the newest is 4"),
        ("99999999", "no commit 99999999 yet"),
        (datetime(2999, 1, 1), "is in the future"),
        ("2999-01-01", "is in the future"),
        ("yesterday", "is not a moment"),
        ("", "is not a moment"),
        (True, "not True"),
        (1.5, "not 1.5"),
    ],
)
def test_a_moment_without_a_state_is_refused_in_words(aged: Catalog, moment: int | str, said: str) -> None:
    for ask in (aged.count, lambda as_of: aged.get(["a"], as_of=as_of), lambda as_of: aged.items(as_of=as_of)):
        with pytest.raises(UsageError, match=said):
            ask(as_of=moment)


def test_a_catalog_without_commits_has_no_earlier_state(catalog: Catalog) -> None:
    with pytest.raises(UsageError, match="no commit yet"):
        catalog.count(as_of=0)
    assert catalog.log() == [] and list(catalog.items()) == []


def test_an_item_that_was_not_there_yet_is_not_found(aged: Catalog) -> None:
    with pytest.raises(ItemNotFound, match="'d'"):
        aged.get(["a", "d"], as_of=3)
    with pytest.raises(ItemNotFound, match="'b'"):
        aged.search(like="b", as_of=3)


def test_the_log_says_when_what_and_how_many(aged: Catalog) -> None:
    aged.update(["a", "c"], {"price": [11, 3]})  # c has that price already
    aged.add_vectors(["c", "e"], rows_of(5, 6))
    found = [(one.seq, one.summary, one.added, one.updated, one.deleted) for one in aged.log()]
    assert found == [
        (6, "add vectors", 1, 1, 0),
        (5, "update", 0, 1, 0),
        (4, "add vectors", 1, 0, 0),
        (3, "delete", 0, 0, 1),
        (2, "add vectors", 0, 1, 0),
        (1, "add vectors", 3, 0, 0),
    ]
    assert [one.seq for one in aged.log(2)] == [6, 5]
    assert aged.log()[-2].when == datetime(2026, 1, 1, 1, tzinfo=UTC)
    with pytest.raises(UsageError, match="limit"):
        aged.log(0)


def test_times_of_commits_do_not_go_back_with_the_clock(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1000.0, 2000.0, 1500.0, 2500.0])
    monkeypatch.setattr(time, "time", lambda: next(clock))
    for number in range(4):
        catalog.add_vectors([f"k{number}"], rows_of(number))
    monkeypatch.undo()
    assert [commit.time for commit in catalog.log()] == [2500.0, 2000.0, 2000.0, 1000.0]
    assert catalog.count(as_of=datetime.fromtimestamp(2000, UTC)) == 3


def test_a_field_that_came_later_is_null_in_an_earlier_state(aged: Catalog) -> None:
    aged.count(as_of=1)
    aged.add_vectors(["e"], rows_of(5), {"brand": ["x"]})
    assert aged.count(filter="brand is null", as_of=1) == 3
    assert aged.get(["a"], as_of=1)[0].fields == {"price": 1, "brand": None}


def test_items_streams_one_state_whatever_is_written_meanwhile(catalog: Catalog) -> None:
    keys = [f"k{number:02}" for number in range(25)]
    catalog.add_vectors(keys, rows_of(*range(25)), {"price": list(range(25))}, titles=keys)
    iterated = catalog.items(batch=10)
    some = list(itertools.islice(iterated, 10))
    catalog.update(keys, {"price": [-1] * 25})
    catalog.delete(keys=keys[12:15])
    catalog.add_vectors(["new"], rows_of(99))
    assert [(item.key, item.title, item.fields["price"]) for item in (*some, *iterated)] == [
        (key, key, price) for price, key in enumerate(keys)
    ]
    assert [item.key for item in catalog.items(batch=7)] == [*keys[:12], *keys[15:], "new"]
    assert [item.key for item in catalog.items("price >= 20", as_of=1, batch=2)] == keys[20:]
    assert [item.key for item in catalog.items("price >= 20")] == []
    with pytest.raises(UsageError, match="batch"):
        catalog.items(batch=0)


def test_items_says_so_when_its_state_is_purged_meanwhile(catalog: Catalog) -> None:
    catalog.add_vectors(["a", "b"], rows_of(1, 2))
    iterated = catalog.items(batch=1)
    next(iterated)
    catalog.delete(keys=["b"])
    catalog.purge(2)
    with pytest.raises(UsageError, match="purged"):
        next(iterated)


def test_the_last_earlier_states_asked_for_stay_in_memory(aged: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.retrieval.search.earlier_states._KEPT_STATES", 2)
    views = {commit: aged._core.state(commit) for commit in (1, 2)}
    assert aged._core.state(1) is views[1] and aged._core.state(2) is views[2]
    aged._core.state(3)
    assert aged._core.state(2) is views[2] and aged._core.state(1) is not views[1]
    monkeypatch.setattr("lookalike.retrieval.search.earlier_states._KEPT_ITEMS", 1)
    last = aged._core.state(2)
    assert list(aged._core.newest._past._states) == [2] and aged._core.state(2) is last
    aged.optimize()
    assert aged._core.state(2) is not last


def test_a_state_is_read_whole_when_its_generation_is_older_than_what_is_kept(aged: Catalog) -> None:
    view = aged._core.newest.state()
    aged.delete(keys=["c"])
    aged.add_vectors(["e"], rows_of(5))
    list(aged._core.records.purge(5))
    past = aged._core.newest._past.state(view, 5)
    assert sorted(past.rows(past.first_items(past.everything, 0, 9))[0]) == ["a", "d"]


# --- pictures ----------------------------------------------------------------------------------------------------


def feed(folder: Path, *rows: str) -> Path:
    path = folder / "feed.csv"
    path.write_text("key,image,title,price\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture
def shop(tmp_path: Path, encoder: ColourEncoder) -> Iterator[Catalog]:
    """Commit 1: the mug shows 0, 1, 2; commit 2: 2, 0 and then 3 under another name."""
    for number in range(4):
        picture(tmp_path / f"{number}.png", number)
    shutil.copy(tmp_path / "0.png", tmp_path / "renamed.png")
    with Catalog.create(tmp_path / "shop", model="compact") as made:
        index(made, feed(tmp_path, "mug,0.png|1.png|2.png,red mug,4.5", "cup,1.png,blue cup,2.0"))
        index(made, feed(tmp_path, "mug,2.png|renamed.png|3.png,green mug,4.5", "cup,1.png,blue cup,2.0"))
        yield made


def index(catalog: Catalog, source: Path) -> None:
    for _ in IndexRun(catalog._core, open_feed(source, types=catalog._core.records.schema())):
        pass


def sources(catalog: Catalog, as_of: int) -> list[str]:
    return [image.source for image in catalog.get(["mug"], as_of=as_of)[0].images]


@pytest.mark.parametrize("optimized", [False, True])
def test_pictures_stand_where_they_stood_then(shop: Catalog, tmp_path: Path, optimized: bool) -> None:
    index(shop, feed(tmp_path, "mug,3.png|2.png,green mug,4.5"))
    if optimized:
        shop.optimize()
    expected = {1: ["0.png", "1.png", "2.png"], 2: ["2.png", "renamed.png", "3.png"], 3: ["3.png", "2.png"]}
    encoder = ColourEncoder()
    from lookalike.data.pictures.image_decoder import decode

    for commit, names in expected.items():
        assert sources(shop, commit) == names
        assert next(hit.image for hit in shop.search(as_of=commit) if hit.key == "mug") == names[0]
        for name in names:
            vector = encoder.encode_images([decode((tmp_path / name).read_bytes()).rgb])[0]
            hit = next(hit for hit in shop.search(vector=vector, as_of=commit) if hit.key == "mug")
            assert (hit.image, round(hit.score, 2)) == (name, 1.0)
    assert shop.search(text="red", as_of=1).keys[0] == "mug"
    titles = [shop.get(["mug"], as_of=commit)[0].title for commit in (1, 2)]
    assert titles == ["red mug", "green mug"]


def test_a_purge_removes_thumbnails_that_no_kept_state_shows(shop: Catalog, tmp_path: Path) -> None:
    folder = tmp_path / "shop" / "thumbnails"
    assert len(list(folder.rglob("*.webp"))) == 4
    index(shop, feed(tmp_path, "cup,3.png,blue cup,2.0"))  # picture 1 is in no later state
    report = shop.purge(2)
    assert (report.thumbnails, len(list(folder.rglob("*.webp")))) == (0, 4)
    with shop._core.writer():
        assert shop.purge(3).thumbnails is None
    assert shop.purge(3).thumbnails == 1
    left = {path.stem for path in folder.rglob("*.webp")}
    assert left == {image.sha256.hex() for item in shop.items() for image in item.images}
    assert sources(shop, 3) == ["2.png", "renamed.png", "3.png"]


# --- purge -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimized", [False, True])
def test_a_purge_keeps_every_later_state_and_refuses_earlier_ones(
    aged: Catalog, tmp_path: Path, optimized: bool
) -> None:
    if optimized:
        aged.optimize()
        aged.add_vectors(["a"], rows_of(8), {"price": [20]})
        aged.delete(keys=["c"])
    with Catalog.open(tmp_path / "shop") as other:
        expected = {commit: sorted(aged.search(as_of=commit, limit=9).keys) for commit in range(3, aged.log()[0].seq)}
        assert other.count(as_of=1) == 3
        report = aged.purge(3)
        assert report.oldest_commit == 3 and report.rows > 0
        for one in (aged, other):
            assert {commit: sorted(one.search(as_of=commit, limit=9).keys) for commit in expected} == expected
            with pytest.raises(UsageError, match="the oldest that is kept is commit 3"):
                one.count(as_of=2)
            assert [commit.seq for commit in one.log()][-1] == 3
    assert aged.purge(3).rows == 0


def test_a_process_that_saw_an_older_state_learns_of_purged_deletions(aged: Catalog, tmp_path: Path) -> None:
    with Catalog.open(tmp_path / "shop") as other:
        assert sorted(other.search(limit=9).keys) == ["a", "c", "d"]
        aged.delete(keys=["c"])
        aged.purge(5)
        assert sorted(other.search(limit=9).keys) == ["a", "d"]
    with Catalog.open(tmp_path / "shop") as again:
        assert sorted(again.search(limit=9).keys) == ["a", "d"]


def test_deletions_after_the_generation_are_not_lost_by_a_purge(aged: Catalog, tmp_path: Path) -> None:
    aged.optimize()
    with Catalog.open(tmp_path / "shop") as other:
        assert other.count() == 3
        aged.delete(keys=["c"])
        aged.purge(5)
        assert sorted(other.search(limit=9).keys) == ["a", "d"]
    with Catalog.open(tmp_path / "shop") as again:
        assert sorted(again.search(limit=9).keys) == ["a", "d"]


@pytest.mark.parametrize(
    ("older_than", "oldest"),
    [
        (1, 1),
        (4, 4),
        ("3", 3),
        ("2026-01-01T01:30", 2),
        ("2025-01-01", 1),
        ("36500d", 1),
        (timedelta(days=1), 4),
        ("24h", 4),
        ("99999999999999999999w", 1),
    ],
)
def test_what_to_purge_is_said_by_commit_time_or_age(
    aged: Catalog, older_than: int | str | timedelta, oldest: int
) -> None:
    assert aged.purge(older_than).oldest_commit == oldest
    assert min(commit.seq for commit in aged.log()) == oldest


@pytest.mark.parametrize("older_than", [9, "2999-01-01", "old", timedelta(days=-1), None])
def test_a_purge_of_no_moment_is_refused(aged: Catalog, older_than: int | str | timedelta) -> None:
    with pytest.raises(UsageError):
        aged.purge(older_than)
    assert aged.count(as_of=1) == 3


def test_a_purge_gives_the_room_back_to_the_disk(catalog: Catalog, tmp_path: Path) -> None:
    keys = [f"k{number}" for number in range(3000)]
    rows = np.random.default_rng(1).standard_normal((3000, DIM)).astype(np.float32)
    for number in range(4):
        catalog.add_vectors(keys, rows, {"text": [f"{number}" * 500] * 3000})
    files = [tmp_path / "shop" / name for name in ("records.sqlite", "records.sqlite-wal")]
    before = sum(path.stat().st_size for path in files)
    report = catalog.purge(4)
    after = sum(path.stat().st_size for path in files)
    assert report.bytes_reclaimed == before - after
    assert after < before / 2
    assert report.rows == 3 * 3000 * 2 + 3
    assert catalog.count(filter='text like "3%"') == 3000


def test_writers_get_their_turn_while_history_is_purged(
    aged: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookalike.retrieval.store.records._PURGED_AT_ONCE", 1)
    with Catalog.open(tmp_path / "shop") as other:
        for number, rows in enumerate(aged._core.records.purge(4)):
            assert rows == 1
            other.add_vectors(["a"], rows_of(number), {"price": [number]})
            other.update(["d"], {"price": [number]})
            assert other.get(["a"])[0].fields["price"] == aged.get(["d"])[0].fields["price"] == number
            assert sorted(aged.search(as_of=4).keys) == ["a", "c", "d"]
            assert [item.fields["price"] for item in aged.get(["a", "d"], as_of=4)] == [10, 4]
    assert number == 2 + 2 + 3 - 1  # vectors of a and b, their states, commits 1 to 3


PURGE = """
import sys, lookalike.retrieval.store.records
from lookalike import Catalog
lookalike.retrieval.store.records._PURGED_AT_ONCE = 7
with Catalog.open(sys.argv[1]) as catalog:
    print("open", flush=True)
    catalog.purge(5)
"""


def test_a_killed_purge_leaves_every_kept_state_whole(tmp_path: Path) -> None:
    keys = [f"k{number}" for number in range(400)]
    with Catalog.create(tmp_path / "shop", dim=DIM) as catalog:
        for number in range(6):
            catalog.add_vectors(keys, rows_of(*range(number, number + 400)), {"price": [number] * 400})
        expected = {seq: catalog.search(vector=rows_of(7)[0], as_of=seq) for seq in (5, 6)}
    left: set[int] = set()
    for delay_s in (0.01, 0.05, 0.1, None):
        command = [sys.executable, "-c", PURGE, str(tmp_path / "shop")]
        with subprocess.Popen(command, cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stdout.readline() == b"open\n"
            if delay_s is not None:
                time.sleep(delay_s)
                process.kill()
        with Catalog.open(tmp_path / "shop") as catalog:
            for seq, results in expected.items():
                found = catalog.search(vector=rows_of(7)[0], as_of=seq)
                assert (found.keys, found.scores) == (results.keys, results.scores)
            ask = catalog._core.records._database.connection.execute
            left.add(ask("SELECT (SELECT count(*) FROM vectors) + (SELECT count(*) FROM history)").fetchone()[0])
            assert process.returncode in (0, -9)
    assert min(left) == 800 + 400 and len(left) > 1
    with Catalog.open(tmp_path / "shop") as catalog:
        assert [commit.seq for commit in catalog.log()] == [6, 5]


# --- against a model ---------------------------------------------------------------------------------------------


class CatalogAgainstStates(RuleBasedStateMachine):
    """Random writes through two catalog objects on one folder; the model is the state after every commit."""

    def __init__(self) -> None:
        super().__init__()
        self.random = np.random.default_rng(0)
        self.states: dict[int, State] = {}
        self.now: State = {}
        self.oldest = 1

    @initialize()
    def create(self) -> None:
        self.folder = Path(mkdtemp()) / "shop"
        self.catalogs = [Catalog.create(self.folder, dim=DIM), Catalog.open(self.folder)]
        self.catalogs[0].add_field("price", "int")
        self.catalogs[0].add_field("brand", "string")
        self.note()

    def note(self) -> None:
        for seq in range(max(self.states, default=0) + 1, self.catalogs[0]._core.records.version()[0] + 1):
            self.states[seq] = dict(self.now)

    @rule(
        numbers=st.lists(st.integers(0, 12), min_size=1, max_size=5, unique=True),
        price=st.integers(0, 9) | st.none(),
        brand=st.sampled_from(["x", "y"]),
        which=st.integers(0, 1),
    )
    def add(self, numbers: list[int], price: int | None, brand: str, which: int) -> None:
        rows = self.random.standard_normal((len(numbers), DIM)).astype(np.float32)
        keys = [f"k{number}" for number in numbers]
        fields: dict[str, list[Value]] = {"price": [price] * len(keys), "brand": [brand] * len(keys)}
        self.catalogs[which].add_vectors(keys, rows, fields)
        self.now |= {key: (row, price, brand) for key, row in zip(keys, stored(rows), strict=True)}
        self.note()

    @precondition(lambda self: self.now)
    @rule(data=st.data(), price=st.integers(0, 9) | st.none(), which=st.integers(0, 1))
    def update(self, data: st.DataObject, price: int | None, which: int) -> None:
        keys = data.draw(st.lists(st.sampled_from(sorted(self.now)), min_size=1, max_size=4, unique=True))
        self.catalogs[which].update(keys, {"price": [price] * len(keys)})
        self.now |= {key: (self.now[key][0], price, self.now[key][2]) for key in keys}
        self.note()

    @precondition(lambda self: self.now)
    @rule(data=st.data(), which=st.integers(0, 1))
    def delete(self, data: st.DataObject, which: int) -> None:
        keys = data.draw(st.lists(st.sampled_from(sorted(self.now)), min_size=1, max_size=4, unique=True))
        self.catalogs[which].delete(keys=keys)
        self.now = {key: value for key, value in self.now.items() if key not in keys}
        self.note()

    @rule(which=st.integers(0, 1))
    def optimize(self, which: int) -> None:
        self.catalogs[which].optimize()

    @precondition(lambda self: self.states)
    @rule(data=st.data(), which=st.integers(0, 1))
    def purge(self, data: st.DataObject, which: int) -> None:
        self.oldest = data.draw(st.integers(self.oldest, max(self.states)))
        self.catalogs[which].purge(self.oldest)
        self.states = {seq: state for seq, state in self.states.items() if seq >= self.oldest}

    @rule(which=st.integers(0, 1))
    def reopen(self, which: int) -> None:
        self.catalogs[which].close()
        self.catalogs[which] = Catalog.open(self.folder)

    @precondition(lambda self: self.states)
    @rule(data=st.data(), which=st.integers(0, 1))
    def ask(self, data: st.DataObject, which: int) -> None:
        seq = data.draw(st.sampled_from(sorted(self.states)))
        self.check(self.catalogs[which], self.states[seq], seq)

    @invariant()
    def the_newest_state_is_right(self) -> None:
        for catalog in self.catalogs:
            self.check(catalog, self.now, None)

    def check(self, catalog: Catalog, state: State, as_of: int | None) -> None:
        assert catalog.count(as_of=as_of) == len(state)
        assert sorted(catalog.keys([f"k{number}" for number in range(13)], as_of=as_of)) == sorted(state)
        items = {
            item.key: (item.fields.get("price"), item.fields.get("brand"))
            for item in catalog.items(as_of=as_of, batch=3)
        }
        assert items == {key: (price, brand) for key, (_, price, brand) in state.items()}
        assert sorted(item.key for item in catalog.items('brand == "x"', as_of=as_of)) == sorted(
            key for key, (_, _, brand) in state.items() if brand == "x"
        )
        facet = next(facet for facet in catalog.facets(["brand"], as_of=as_of))
        assert dict(facet.values) == {
            brand: count for brand in ("x", "y") if (count := sum(found == brand for _, _, found in state.values()))
        }
        query = self.random.standard_normal(DIM).astype(np.float32)
        unit = (query / np.linalg.norm(query)).astype(np.float64)
        for filter, low in ((None, None), ("price >= 5", 5)):
            scores = {
                key: float(row @ unit)
                for key, (row, price, _) in state.items()
                if low is None or (price is not None and price >= low)
            }
            results = catalog.search(vector=query, filter=filter, limit=20, as_of=as_of)
            assert np.allclose(results.scores, sorted(scores.values(), reverse=True), atol=1e-5)
            assert np.allclose([scores[key] for key in results.keys], results.scores, atol=1e-5)
            assert sorted(results.keys) == sorted(scores)
            assert {hit.key: hit.fields["price"] for hit in results} == {key: state[key][1] for key in scores}

    def teardown(self) -> None:
        for catalog in self.catalogs:
            catalog.close()
        shutil.rmtree(self.folder.parent)


CatalogAgainstStates.TestCase.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
TestCatalogAgainstStates = pytest.mark.slow(CatalogAgainstStates.TestCase)

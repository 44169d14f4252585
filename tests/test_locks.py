"""SQLite's locks on an open catalog, read from the system, after everything that can be done with one."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval import Catalog
from tests.conftest import ROOT
from tests.public_calls import KEYS, READS, ROWS, WRITES, make_catalog
from tests.running import call

SHARED = "1073741826 1073742335"
"""The bytes that a process locks for as long as it has a connection that has begun to read."""

OTHER = """
import sys
from retrieval import Catalog
with Catalog.open(sys.argv[1]) as catalog:
    print(*sorted(item.key for item in catalog.items()))
"""


def locks(shop: Path) -> set[str]:
    """Return which kinds of lock this process has on the shared bytes of the records."""
    inode = (shop / "records.sqlite").stat().st_ino
    found = set()
    for line in Path("/proc/locks").read_text().splitlines():
        _, kind, _, access, holder, file, *span = line.split()
        if file.endswith(f":{inode}") and " ".join(span) == SHARED and holder in (str(os.getpid()), "-1"):
            found.add(f"{kind} {access}")
    return found


BOTH = {"POSIX READ", "OFDLCK READ"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "shop"
    make_catalog(folder).close()
    return folder


@pytest.fixture
def shop(tmp_path: Path, made: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "shop"))


@pytest.fixture
def catalog(shop: Path) -> Iterator[Catalog]:
    with Catalog.open(shop) as opened:
        opened.search(vector=ROWS[0])
        yield opened


@pytest.mark.parametrize("name", [*READS, *WRITES])
def test_the_locks_are_intact_after_every_public_call(catalog: Catalog, shop: Path, tmp_path: Path, name: str) -> None:
    assert locks(shop) == BOTH
    (READS | WRITES)[name](catalog, tmp_path)
    assert locks(shop) == BOTH
    with Catalog.open(shop) as other:
        (READS | WRITES)[name](other, tmp_path)
        assert locks(shop) == BOTH
    assert locks(shop) == BOTH


def test_the_locks_are_intact_after_every_command(catalog: Catalog, shop: Path, tmp_path: Path) -> None:
    feed = tmp_path / "feed.csv"
    feed.write_text("key,image\na,none.png\n")
    queries = tmp_path / "queries.csv"
    queries.write_text("text,relevant\nred,k1\n")
    commands: list[tuple[object, ...]] = [
        ("info", shop),
        ("info", shop, "--json"),
        ("search", shop, "--like", "k1"),
        ("update", shop, "k1", "--set", "price=7"),
        ("log", shop),
        ("delete", shop, "k2"),
        ("optimize", shop),
        ("backup", shop, tmp_path / "backups"),
        ("backups", tmp_path / "backups"),
        ("restore", tmp_path / "backups", tmp_path / "restored"),
        ("verify", shop),
        ("repair", shop),
        ("export", shop, tmp_path / "out.parquet"),
        ("import", tmp_path / "out.parquet", shop),
        ("ledger", shop),
        ("purge", shop, "--older-than", "30d"),
    ]
    for command in commands:
        call(*command)
        assert locks(shop) == BOTH, command
    for command in [("index", shop, feed), ("evaluate", shop, queries), ("index", shop, shop / "records.sqlite")]:
        with pytest.raises(AssertionError):
            call(*command)  # fails: the catalog has no model
        assert locks(shop) == BOTH, command


@settings(deadline=None, max_examples=12)
@given(st.permutations(range(4)), st.integers(0, 3))
def test_the_locks_last_until_the_last_of_several_is_closed_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, made: Path, order: list[int], searching: int
) -> None:
    shop = Path(shutil.copytree(made, tmp_path_factory.mktemp("several") / "shop"))
    opened = [Catalog.open(shop) for _ in range(4)]
    opened[searching].search(vector=ROWS[0])
    for place, number in enumerate(order):
        assert locks(shop) == BOTH
        for other in order[place:]:
            opened[other].add_vectors([f"new{other}"], ROWS[:1])
        opened[number].close()
    assert locks(shop) == set()
    assert sorted(path.name for path in shop.glob("records.sqlite*")) == ["records.sqlite"]  # the log is folded in


def test_a_catalog_that_is_never_closed_gives_its_locks_back(shop: Path) -> None:
    Catalog.open(shop).count()
    gc.collect()
    assert locks(shop) == set()


def commit_and_look(catalog: Catalog, shop: Path) -> list[str]:
    """Let another process open and close the catalog, commit here, and return what another process sees then."""

    def look() -> list[str]:
        command = [sys.executable, "-c", OTHER, str(shop)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()

    look()
    catalog.add_vectors(["fresh"], ROWS[:1])
    return look()


def test_a_commit_after_others_closed_is_seen_though_code_of_others_read_the_file(
    catalog: Catalog, shop: Path, tmp_path: Path
) -> None:
    shutil.copyfile(shop / "records.sqlite", tmp_path / "copy")
    assert "POSIX READ" not in locks(shop)  # the system has dropped it
    assert commit_and_look(catalog, shop) == sorted({*KEYS, "fresh"} - {"k5"})
    assert catalog.verify().problems == []


def test_without_open_file_description_locks_the_locks_of_sqlite_protect_the_log(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.records.file_holds._SET_LOCK", None)
    with Catalog.open(shop) as first, Catalog.open(shop) as second:
        second.count()
        assert locks(shop) == {"POSIX READ"}
        assert commit_and_look(first, shop) == sorted({*KEYS, "fresh"} - {"k5"})


def test_a_damaged_generation_is_made_anew_beside_open_catalogs_without_losing_a_lock(
    catalog: Catalog, shop: Path
) -> None:
    (generation,) = (shop / "generations").iterdir()
    (generation / "manifest.json").write_text("{}")
    with Catalog.open(shop) as other:
        assert other.count() == 39
    assert locks(shop) == BOTH

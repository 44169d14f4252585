"""The catalog in `format1` was written by the version before format 2: five commits, the fourth by a late clock.

1: mug (pictures 0 and 1), bowl, jug. 2: the mug's price. 3: the jug is deleted. 4: the bowl's title; a cup. 5: a vase,
which is a vector without a picture.

The catalog in `format5.tar.xz` was written by the last version before format 6: four commits, the generation built
after the third. 1: mug, bowl, jug. 2: the mug's price. 3: the jug is deleted. 4: a vase.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from lookalike import Catalog
from lookalike.data.errors import CatalogFormat
from lookalike.retrieval.maintenance.verification import verify
from lookalike.retrieval.store import tables
from lookalike.retrieval.store.database import FORMAT, Database
from tests.fakes import ColourEncoder

ROOT = Path(__file__).parent.parent


@pytest.fixture
def folder(tmp_path: Path, encoder: ColourEncoder) -> Path:
    shutil.copytree(ROOT / "tests" / "format1", tmp_path / "shop")
    return tmp_path / "shop"


def pragma(folder: Path, name: str) -> int:
    connection = sqlite3.connect(folder / "records.sqlite")
    try:
        return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
    finally:
        connection.close()


def as_format_3(connection: sqlite3.Connection) -> None:
    """Remove from new records what format 3 did not have, and create the table that it had instead."""
    for table in ("ledger", "runs", "spaces", "sources", "field_changes"):
        connection.execute(f"DROP TABLE {table}")
    connection.execute(
        "CREATE TABLE rejects (feed TEXT NOT NULL, row INTEGER NOT NULL, key TEXT, source TEXT, reason TEXT NOT NULL, "
        "time REAL NOT NULL)"
    )
    connection.execute("PRAGMA user_version = 3")


def test_a_catalog_of_format_1_is_searched_and_time_travels(folder: Path) -> None:
    assert pragma(folder, "user_version") == 1
    with Catalog.open(folder) as catalog:
        expected = {
            1: {"mug": 4.5, "bowl": 6.0, "jug": 9.0},
            2: {"mug": 5.5, "bowl": 6.0, "jug": 9.0},
            3: {"mug": 5.5, "bowl": 6.0},
            4: {"mug": 5.5, "bowl": 6.0, "cup": 2.25},
            5: {"mug": 5.5, "bowl": 6.0, "cup": 2.25, "vase": 12.0},
        }
        query = np.eye(12, dtype=np.float32)[0]
        for commit, prices in expected.items():
            hits = catalog.search(vector=query, as_of=commit)
            assert {hit.key: hit.fields["price"] for hit in hits} == prices
        assert catalog.search(vector=query).keys[0] == "vase"
        assert catalog.search(text="green", as_of=2).keys[0] == "jug"
        assert [catalog.get(["bowl"], as_of=commit)[0].title for commit in (3, 4)] == ["blue bowl", "white bowl"]
        assert [image.source for image in catalog.get(["mug"], as_of=1)[0].images] == ["0.png", "1.png"]
        log = [(one.seq, one.added, one.updated, one.deleted, one.time - 1_760_000_000) for one in catalog.log()]
        assert log == [
            (5, 1, 0, 0, 18000),
            (4, 1, 1, 0, 10800),
            (3, 0, 0, 1, 10800),
            (2, 0, 1, 0, 7200),
            (1, 3, 0, 0, 3600),
        ]
    assert pragma(folder, "user_version") == FORMAT


def test_a_catalog_of_format_5_is_searched_with_its_generation_and_time_travels(tmp_path: Path) -> None:
    with tarfile.open(ROOT / "tests" / "format5.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / "format5"
    assert pragma(folder, "user_version") == 5
    assert verify(folder).problems == []
    query = np.eye(6, dtype=np.float32)[0]
    with Catalog.open(folder) as catalog:
        info = catalog.info()
        assert (info.items, info.tail, info.generation) == (3, 1, "000000000003-9fb189ce")
        assert info.fields == {"price": "float", "tags": "strings", "made": "string", "note": "string"}
        hits = catalog.search(vector=query)
        assert [(hit.key, hit.score, hit.fields["price"]) for hit in hits] == [
            ("mug", 1.0, 5.0),
            ("bowl", 0.0, 6.0),
            ("vase", 0.0, 12.5),
        ]
        assert catalog.search(vector=query, filter="array_contains(tags, 'sale') and price < 6").keys == ["mug"]
        prices = [{item.key: item.fields["price"] for item in catalog.items(as_of=commit)} for commit in (1, 2, 3, 4)]
        assert prices == [
            {"mug": 4, "bowl": 6, "jug": 9},
            {"mug": 5, "bowl": 6, "jug": 9},
            {"mug": 5, "bowl": 6},
            {"mug": 5, "bowl": 6, "vase": 12.5},
        ]
        catalog.update(["vase"], {"price": [11.0]})
        assert catalog.search(vector=np.eye(6, dtype=np.float32)[3]).keys[0] == "vase"
        assert catalog.verify().problems == []
    assert pragma(folder, "user_version") == FORMAT


def test_a_migrated_catalog_has_the_tables_and_indexes_of_a_new_one(folder: Path, tmp_path: Path) -> None:
    Catalog.open(folder).close()
    Catalog.create(tmp_path / "new", dim=2).close()
    found = []
    for one in (folder, tmp_path / "new"):
        connection = sqlite3.connect(one / "records.sqlite")
        names = connection.execute("SELECT type, name FROM sqlite_master ORDER BY name").fetchall()
        columns = {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for _, name in names}
        indexes = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name"
        ).fetchall()
        found.append((names, columns, indexes))
        connection.close()
    assert found[0] == found[1]


def test_a_catalog_of_format_2_gets_checksums_with_what_is_written_from_then_on(tmp_path: Path) -> None:
    rows = np.eye(4, dtype=np.float32)
    with Catalog.create(tmp_path / "shop", dim=4) as catalog:
        catalog.add_vectors(["a", "b"], rows[:2], {"price": [1, 2]})
        catalog.update(["b"], {"price": [3]})
    connection = sqlite3.connect(tmp_path / "shop" / "records.sqlite")
    as_format_3(connection)
    for table in ("items", "history", "vectors"):
        connection.execute(f"ALTER TABLE {table} DROP COLUMN checksum")
    connection.execute("PRAGMA user_version = 2")
    connection.commit()
    connection.close()
    assert verify(tmp_path / "shop").problems == []
    assert pragma(tmp_path / "shop", "user_version") == 2
    with Catalog.open(tmp_path / "shop") as catalog:
        assert catalog.search(vector=rows[1]).keys == ["b", "a"]
        assert catalog.get(["b"], as_of=1)[0].fields == {"price": 2}
        catalog.update(["b"], {"price": [4]})
        catalog.add_vectors(["c"], rows[2:3], {"price": [5]})
        assert catalog.verify().problems == []
    connection = sqlite3.connect(tmp_path / "shop" / "records.sqlite")
    found = connection.execute("SELECT key, checksum IS NOT NULL FROM items ORDER BY id").fetchall()
    vectors = connection.execute("SELECT checksum IS NOT NULL FROM vectors ORDER BY id").fetchall()
    connection.close()
    assert found == [("a", 0), ("b", 1), ("c", 1)]
    assert vectors == [(0,), (0,), (1,)]


def test_what_format_3_had_rejected_is_in_the_ledger(tmp_path: Path) -> None:
    Catalog.create(tmp_path / "shop", dim=4).close()
    connection = sqlite3.connect(tmp_path / "shop" / "records.sqlite")
    as_format_3(connection)
    rejects = [
        ("b.csv", 7, None, None, "not CSV", 1_760_000_000),
        ("a.csv", 3, "cup", "cup.png", "no such file", 1_760_003_600),
        ("a.csv", 3, "cup", "back.png", "empty", 1_760_003_600),
        ("a.csv", 9, "mug", None, "no picture", 1_760_003_600),
        ("b.csv", 8, None, "'\\udcff'", "not text", 1_760_000_000),
    ]
    connection.executemany("INSERT INTO rejects VALUES (?, ?, ?, ?, ?, ?)", rejects)
    connection.commit()
    connection.close()
    assert verify(tmp_path / "shop").problems == []
    with Catalog.open(tmp_path / "shop") as catalog:
        found = [
            (one.feed, one.row, one.key, one.source, one.reason, one.last_seen.timestamp()) for one in catalog.ledger()
        ]
        assert sorted(found, key=str) == sorted(rejects, key=str)
        assert {(one.state, one.attempts, one.first_run == one.last_run) for one in catalog.ledger()} == {
            ("rejected", 1, True)
        }
        assert catalog.info().rejected == 5
        assert catalog._core.records.ledger.feeds() == ["b.csv", "a.csv"]
        assert catalog._core.records.ledger.rejected_among("a.csv", ["cup", "jug"], [7]) == ({"cup"}, set())
        assert catalog._core.records.ledger.rejected_among("b.csv", ["cup"], [6, 7, 8]) == (set(), {7, 8})
    assert pragma(tmp_path / "shop", "user_version") == FORMAT


def test_a_migrated_catalog_gives_room_back_too(folder: Path) -> None:
    with Catalog.open(folder) as catalog:
        keys = [f"k{number}" for number in range(500)]
        for _ in range(2):
            catalog.add_vectors(keys, np.eye(12, dtype=np.float32)[:1].repeat(500, axis=0), {"text": ["x" * 999] * 500})
        assert catalog.purge(7).bytes_reclaimed > 500_000
        assert catalog.count() == 504
    assert pragma(folder, "auto_vacuum") == 2


@pytest.mark.slow
def test_many_processes_may_open_a_catalog_of_format_1_at_once(folder: Path) -> None:
    code = "import sys; from lookalike import Catalog; print(Catalog.open(sys.argv[1]).count(as_of=3))"
    command = [sys.executable, "-c", code, str(folder)]
    processes = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    answers = [process.communicate() for process in processes]
    assert [out for out, _ in answers] == ["2\n"] * 4, answers
    assert pragma(folder, "user_version") == FORMAT


def test_a_catalog_that_another_process_migrates_meanwhile_is_opened(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Database._version

    def read_then_migrated(database: Database) -> int:
        version = read(database)
        monkeypatch.setattr(Database, "_version", read)
        Catalog.open(folder).close()
        return version

    monkeypatch.setattr(Database, "_version", read_then_migrated)
    with Catalog.open(folder) as catalog:
        assert catalog.count(as_of=3) == 2
    assert pragma(folder, "user_version") == FORMAT


def test_a_migration_that_fails_leaves_the_file_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = (*tables.FROM_FORMAT_1, "SELECT * FROM nowhere")
    with monkeypatch.context() as patch, pytest.raises(Exception, match="nowhere"):
        patch.setattr(tables, "FROM_FORMAT_1", steps)
        Catalog.open(folder)
    assert pragma(folder, "user_version") == 1
    with Catalog.open(folder) as catalog:
        assert catalog.count(as_of=1) == 3


@pytest.mark.parametrize("version", [0, FORMAT + 1])
def test_another_format_is_refused(folder: Path, version: int) -> None:
    connection = sqlite3.connect(folder / "records.sqlite")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    with pytest.raises(CatalogFormat, match=f"format {version}, this version of Lookalike reads 1 to {FORMAT}"):
        Catalog.open(folder)

"""SQLite's locks on an open catalog, read from the system, after everything that can be done with one."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike import Catalog
from lookalike.data.errors import BackupDamaged, CatalogReadOnly, FeedError, LookalikeError, NotAPicture, UsageError
from lookalike.data.feeds.feed import open_feed
from lookalike.models import load_encoder
from lookalike.models.registry.checkpoint import read_json
from lookalike.models.weights.hashes import hash_of
from lookalike.models.weights.state_dicts import read_state
from lookalike.retrieval.maintenance.backup import list_snapshots
from tests.conftest import ROOT
from tests.fakes import ColourEncoder
from tests.public_calls import INNER_READS, INNER_WRITES, KEYS, READS, ROWS, WRITES
from tests.running import call, run

SHARED = "1073741826 1073742335"
"""The bytes that a process locks for as long as it has a connection that has begun to read."""

OTHER = """
import sys
from lookalike import Catalog
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


@pytest.fixture
def shop(tmp_path: Path, made: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "shop"))


@pytest.fixture
def catalog(shop: Path) -> Iterator[Catalog]:
    with Catalog.open(shop) as opened:
        opened.search(vector=ROWS[0])
        yield opened


CALLS = READS | WRITES | INNER_READS | INNER_WRITES


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_the_locks_are_intact_after_every_public_call(catalog: Catalog, shop: Path, tmp_path: Path, name: str) -> None:
    assert locks(shop) == BOTH
    CALLS[name](catalog, tmp_path)
    assert locks(shop) == BOTH
    with Catalog.open(shop) as other:
        CALLS[name](other, tmp_path)
        assert locks(shop) == BOTH
    assert locks(shop) == BOTH


@pytest.mark.slow
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


@pytest.mark.slow
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
    Catalog.create(shop.with_name("other"), dim=4).close()  # where one is opened or closed, dropped ones are closed
    assert locks(shop) == set()
    assert not (shop / "records.sqlite-wal").exists()


@pytest.mark.slow
def test_at_the_end_of_a_process_logs_are_folded_in_though_nothing_was_closed(shop: Path) -> None:
    code = """
import sys
from lookalike import Catalog
catalog, dropped = Catalog.open(sys.argv[1]), Catalog.open(sys.argv[1])
catalog.add_vectors(["last"], [[1, 2, 3, 4]])
dropped.get(["last"])
del dropped
"""
    subprocess.run([sys.executable, "-c", code, str(shop)], cwd=ROOT, check=True)
    assert [path.name for path in shop.glob("records.sqlite*")] == ["records.sqlite"]
    with Catalog.open(shop) as catalog:
        assert catalog.keys(["last"]) == ["last"]


@pytest.mark.slow
def test_a_catalog_that_is_collected_within_a_transaction_of_another_stops_nothing(shop: Path, made: Path) -> None:
    written, closed = threading.Event(), threading.Event()
    in_transaction, go_on = threading.Event(), threading.Event()
    catalog = Catalog.open(shop)

    def write() -> None:
        with pytest.raises(UsageError, match="was closed"), catalog._core.records._database.immediate():
            Catalog.open(shop).log(1)
            gc.collect()
            in_transaction.set()
            go_on.wait(30)
            gc.collect()
        written.set()  # what it wrote is taken back: the catalog was closed before it was committed

    def close() -> None:
        catalog.close()
        closed.set()

    writing, closing = threading.Thread(target=write, daemon=True), threading.Thread(target=close, daemon=True)
    writing.start()
    assert in_transaction.wait(30)
    closing.start()  # waits for the transaction
    with Catalog.open(made) as other:  # which nothing else need wait for
        assert other.get(["k1"])
    assert not closed.is_set()
    go_on.set()
    assert written.wait(30) and closed.wait(30)


def commit_and_look(catalog: Catalog, shop: Path) -> list[str]:
    """Open and close the catalog in another process, commit here, and return what a third process sees then."""

    def look() -> list[str]:
        command = [sys.executable, "-c", OTHER, str(shop)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()

    look()
    catalog.add_vectors(["fresh"], ROWS[:1])
    return look()


@pytest.mark.slow
def test_a_commit_after_others_closed_is_seen_though_code_of_others_read_the_file(
    catalog: Catalog, shop: Path, tmp_path: Path
) -> None:
    shutil.copyfile(shop / "records.sqlite", tmp_path / "copy")
    assert "POSIX READ" not in locks(shop)  # the system has dropped it
    assert commit_and_look(catalog, shop) == sorted({*KEYS, "fresh"} - {"k5"})
    assert catalog.verify().problems == []


@pytest.mark.slow
def test_without_open_file_description_locks_the_locks_of_sqlite_protect_the_log(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookalike.retrieval.store.file_locks._SET_LOCK", None)
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


def test_no_path_that_comes_in_leads_to_the_records(tmp_path: Path, encoder: ColourEncoder) -> None:
    shop = tmp_path / "shop"
    with Catalog.create(shop, model="compact") as catalog:
        catalog.count()
        assert locks(shop) == BOTH
        files = [shop / f"records.sqlite{suffix}" for suffix in ("", "-wal", "-shm")]
        assert all(file.exists() for file in files)
        for suffix in (".jpg", ".mp4", ".heic", ".dng", ".csv", ".parquet", ".zip", ".tar"):
            (tmp_path / f"link{suffix}").symlink_to(files[0])
        links = [tmp_path / f"link{suffix}" for suffix in (".jpg", ".mp4", ".heic", ".dng")]
        feed = tmp_path / "feed.csv"
        feed.write_text("key,image\n" + "".join(f"k{at},{path}\n" for at, path in enumerate([*files, *links])))
        report = run(catalog, feed)
        assert report.added == 0 and len(report.rejects) == 7
        assert all("is part of a catalog's records" in reject.reason for reject in report.rejects)
        assert locks(shop) == BOTH
        for picture in [*files, *links]:
            with pytest.raises(NotAPicture, match="is part of a catalog's records"):
                catalog.search(image=picture)
        for source in [*files, *(tmp_path / f"link{suffix}" for suffix in (".csv", ".parquet", ".zip", ".tar"))]:
            with pytest.raises(FeedError):
                run(catalog, source)
            with pytest.raises(FeedError):
                catalog.import_parquet(source)
            with pytest.raises(FeedError):
                catalog.keep_queries(source)
            assert locks(shop) == BOTH, source
        with pytest.raises(FeedError, match="no Parquet file"):
            catalog.import_parquet(shop)
        assert locks(shop) == BOTH


def held(shop: Path) -> list[str]:
    """Return all locks of this process on the records, their log and their shared memory."""
    inodes = {f":{path.stat().st_ino}" for path in shop.glob("records.sqlite*")}
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    mine = [line for line in lines if line[4] in (str(os.getpid()), "-1")]
    return sorted(" ".join(line[1:]) for line in mine if any(line[5].endswith(one) for one in inodes))


@pytest.mark.parametrize("kind", ["itself", "hard link", "symbolic link", "descriptor"])
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_nothing_reads_the_records_under_any_name(
    catalog: Catalog, shop: Path, tmp_path: Path, kind: str, suffix: str
) -> None:
    file = shop / f"records.sqlite{suffix}"
    before = held(shop)

    def named(ending: str) -> Path:
        path = tmp_path / f"link{ending}"
        if kind == "hard link" and not path.exists():
            path.hardlink_to(file)
        elif kind == "symbolic link" and not path.exists():
            path.symlink_to(file)
        elif kind == "descriptor":
            links = Path("/proc/self/fd").iterdir()
            return next((link for link in links if os.path.realpath(link) == str(file)), file)
        return file if kind == "itself" else path

    calls: list[Callable[[], object]] = [
        lambda: Catalog.restore(named(".tar"), tmp_path / "again"),
        lambda: list_snapshots(named(".tar")),
        lambda: catalog.import_parquet(named(".parquet")),
        lambda: catalog.keep_queries(named(".csv")),
        lambda: catalog.search(image=named(".jpg")),
        lambda: load_encoder("open_clip:ViT-B-32/" + str(named(".pt"))),
        lambda: load_encoder(str(named(".pt"))),
        lambda: hash_of(named(".pt")),
        lambda: read_state(named(".safetensors")),
        lambda: read_json(named(".json")),
        *(
            lambda ending=ending: list(open_feed(named(ending)))
            for ending in (".csv", ".tsv", ".jsonl", ".parquet", ".arrow", ".zip", ".tar", ".tar.gz", ".mp4")
        ),
    ]
    for number, call_ in enumerate(calls):
        with pytest.raises(LookalikeError):
            call_()
        assert held(shop) == before, number


def test_a_hard_link_of_the_records_within_a_catalog_is_not_read(catalog: Catalog, shop: Path, tmp_path: Path) -> None:
    records = shop / "records.sqlite"
    before = held(shop)
    (shop / "copy.sqlite").hardlink_to(records)
    (shop / "quarantine").mkdir()
    (shop / "quarantine" / "x.jsonl").hardlink_to(shop / "records.sqlite-shm")
    image_id = "ab" * 32
    thumbnail = shop / "thumbnails" / "ab" / f"{image_id}.webp"
    thumbnail.parent.mkdir(parents=True, exist_ok=True)
    thumbnail.hardlink_to(records)
    (generation,) = (shop / "generations").iterdir()
    (generation / "items.npy").unlink(missing_ok=True)
    (generation / "items.npy").hardlink_to(records)
    assert catalog.thumbnail(image_id) is None
    for target in (tmp_path / "backups", tmp_path / "backup.tar"):
        report = catalog.backup(target)
        names = {file.path for file in report.snapshot.files}
        assert not names & {"copy.sqlite", "quarantine/x.jsonl", f"thumbnails/ab/{image_id}.webp"}
        assert held(shop) == before
    catalog.verify()
    assert held(shop) == before
    (chunk,) = (tmp_path / "backups" / "chunks").glob(f"*/{next(report.snapshot.chunk_ids())}")
    chunk.unlink()
    chunk.hardlink_to(records)
    with pytest.raises(BackupDamaged, match="part of a catalog's records"):
        Catalog.restore(tmp_path / "backups", tmp_path / "restored")
    assert held(shop) == before


DIFFERENT_WRITES: list[Callable[[Catalog], object]] = [
    lambda catalog: catalog.add_vectors(["new"], ROWS[:1]),
    lambda catalog: catalog.update(KEYS[:1], {"price": [1]}),
    lambda catalog: catalog.delete(KEYS[:1]),
    lambda catalog: catalog.add_field("size", "int"),
    lambda catalog: catalog.optimize(),
]


def test_a_catalog_that_has_a_hard_linked_copy_is_read_and_not_written(
    catalog: Catalog, shop: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(shop, copy, copy_function=os.link, ignore=shutil.ignore_patterns("records.sqlite-*"))
    for folder in (shop, copy):
        with Catalog.open(folder) as opened:
            keys = [item.key for item in opened.items()]
            for write in DIFFERENT_WRITES:
                with pytest.raises(CatalogReadOnly, match="hard link") as refused:
                    write(opened)
                assert "cp -a" in refused.value.remedy
            assert [item.key for item in opened.items()] == keys
    shutil.rmtree(copy)
    catalog.add_vectors(["new"], ROWS[:1])
    assert "new" in catalog


def test_a_generation_that_names_the_records_among_its_files_is_not_looked_at(catalog: Catalog, shop: Path) -> None:
    (generation,) = (shop / "generations").iterdir()
    manifest = json.loads((generation / "manifest.json").read_text())
    manifest["files"]["../../records.sqlite"] = "0" * 64
    text = json.dumps(manifest).encode()
    (generation / "manifest.json").write_bytes(text)
    forged = f"{generation.name.rpartition('-')[0]}-{hashlib.sha256(text).hexdigest()[:8]}"
    generation.rename(generation.with_name(forged))
    catalog._core.records.put_generation(forged, "flat")
    found = catalog.verify().problems
    assert [problem.what for problem in found] == [
        "The manifest of the generation cannot be read: it names a file outside of the generation."
    ]
    with Catalog.open(shop) as other:
        assert other.count() == 39  # by the records
    assert locks(shop) == BOTH

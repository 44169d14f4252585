"""Backups and back from them; and what must not harm them: full disks, changed bytes, kills, writers.

The test kills a few backups; `python -m tests.test_backup 200` as many as asked.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import orjson
import pytest

from lookalike import Catalog
from lookalike.data.errors import (
    BackupDamaged,
    BackupNotFound,
    CatalogBusy,
    CatalogDamaged,
    CatalogExists,
    LookalikeError,
    StorageFailed,
    UsageError,
)
from lookalike.retrieval.maintenance.backup import list_snapshots
from lookalike.retrieval.maintenance.backup_store import FolderStore, Snapshot
from tests.running import call, call_json, no_file_grows_beyond
from tests.test_kill import contents, same

ROOT = Path(__file__).parent.parent
DIM = 8
RANDOM = np.random.default_rng(11)


def rows(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return RANDOM.standard_normal((count, DIM)).astype(np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "vectors"
    with Catalog.create(folder, dim=DIM) as catalog:
        catalog.add_vectors([f"k{number}" for number in range(6000)], rows(6000), {"price": list(range(6000))})
        catalog.optimize()
    (folder / "thumbnails" / "ab").mkdir(parents=True)
    (folder / "thumbnails" / "ab" / "small.webp").write_bytes(b"a picture")
    return folder


@pytest.fixture
def catalog(made: Path, tmp_path: Path) -> Catalog:
    return Catalog.open(shutil.copytree(made, tmp_path / "vectors"))


def assert_same(one: Path, other: Path) -> None:
    expected, found = contents(one), contents(other)
    assert expected.keys() == found.keys()
    assert all(same(expected[key], found[key]) for key in expected)


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)


def assert_refused(backup: Path, place: Path, saying: str = ".") -> None:
    with pytest.raises(BackupDamaged, match=saying):
        Catalog.restore(backup, place)
    assert not place.exists()
    assert not [path for path in place.parent.iterdir() if path.name.startswith(f".{place.name}.")]


@pytest.mark.parametrize("name", ["backups", "shop.tar"])
def test_a_restored_catalog_is_the_one_backed_up(shop: Path, tmp_path: Path, name: str) -> None:
    with Catalog.open(shop) as catalog:
        report = catalog.backup(tmp_path / name)
        expected = catalog.search(like="cup-of-coffee", filter="price < 20")
    assert report.snapshot.items == 510
    assert [one.name for one in list_snapshots(tmp_path / name)] == [report.snapshot.name]
    assert Catalog.restore(tmp_path / name, tmp_path / "again") == report.snapshot
    assert_same(shop, tmp_path / "again")
    assert not (tmp_path / "again" / "generations").exists()
    with Catalog.open(tmp_path / "again") as restored:
        found = restored.search(like="cup-of-coffee", filter="price < 20")
        assert (found.keys, found.scores) == (expected.keys, expected.scores)
        restored.optimize()
        assert restored.info().generation


def test_a_second_backup_writes_only_what_changed(catalog: Catalog, tmp_path: Path) -> None:
    first = catalog.backup(tmp_path / "backups")
    assert first.new_bytes == first.snapshot.size
    assert catalog.backup(tmp_path / "backups").new_chunks == 0
    catalog.add_vectors(["new"], rows(1))
    third = catalog.backup(tmp_path / "backups")
    assert 0 < third.new_chunks <= 6
    assert third.chunks > 8
    with pytest.raises(BackupNotFound):
        Catalog.restore(tmp_path / "backups", tmp_path / "old", snapshot="1999")
    Catalog.restore(tmp_path / "backups", tmp_path / "old", snapshot=first.snapshot.name[-12:])
    Catalog.restore(tmp_path / "backups", tmp_path / "new")
    assert [Catalog.open(tmp_path / name).count() for name in ("old", "new")] == [6000, 6001]


@pytest.mark.slow
def test_old_snapshots_are_pruned_with_the_chunks_that_only_they_have(catalog: Catalog, tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    for number in range(4):
        catalog.add_vectors([f"k{number}"], rows(1))
        report = catalog.backup(backups, keep=2)
    assert len(report.removed) == 1
    snapshots = list_snapshots(backups)
    assert [one.commit for one in snapshots] == [4, 5]
    needed = {id_ for one in snapshots for id_ in one.chunk_ids()}
    assert {path.name for path in backups.glob("chunks/*/*")} == needed
    for number, one in enumerate(snapshots):
        Catalog.restore(backups, tmp_path / f"back{number}", snapshot=one.name)
    assert_same(tmp_path / "vectors", tmp_path / "back1")


def test_nothing_is_pruned_while_a_manifest_that_stays_is_damaged(catalog: Catalog, tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    names = [catalog.backup(backups).snapshot.name for _ in range(2)]
    flip(backups / "snapshots" / f"{names[1]}.json", 40)
    before = sorted(backups.glob("chunks/*/*"))
    with pytest.raises(BackupDamaged, match=names[1]):
        catalog.backup(backups, keep=2)
    assert set(before) <= set(backups.glob("chunks/*/*"))
    Catalog.restore(backups, tmp_path / "first", snapshot=names[0])


@pytest.mark.slow
def test_a_backup_while_others_write_is_of_exactly_one_commit(tmp_path: Path) -> None:
    keys = [f"k{number}" for number in range(200)]
    stop = threading.Event()
    with Catalog.create(tmp_path / "busy", dim=DIM) as catalog:
        catalog.add_vectors(keys, rows(200), {"round": [0] * 200})

        def write() -> None:
            turn = 0
            while not stop.is_set():
                turn += 1
                catalog.add_vectors([*keys, f"turn{turn}"], rows(201), {"round": [turn] * 201})

        writer = threading.Thread(target=write)
        writer.start()
        try:
            reports = []
            for _ in range(8):
                reports.append(catalog.backup(tmp_path / "backups"))
        finally:
            stop.set()
            writer.join()
    assert len({report.snapshot.commit for report in reports}) > 1
    for number, report in enumerate(reports):
        Catalog.restore(tmp_path / "backups", tmp_path / f"r{number}", snapshot=report.snapshot.name)
        with Catalog.open(tmp_path / f"r{number}") as restored:
            turn = report.snapshot.commit - 1  # the first commit is round 0
            assert restored._core.records.version()[0] == report.snapshot.commit
            assert (
                restored.count()
                == restored._core.records.count_vectors()["image"]
                == 200 + turn
                == report.snapshot.items
            )
            assert {item.fields["round"] for item in restored.get(keys)} == {turn}


def test_a_changed_byte_in_any_chunk_is_found(catalog: Catalog, tmp_path: Path) -> None:
    catalog.backup(tmp_path / "backups")
    chunks = sorted((tmp_path / "backups").glob("chunks/*/*"))
    assert len(chunks) > 8
    for chunk in chunks:
        whole = chunk.read_bytes()
        flip(chunk, len(whole) // 2)
        assert_refused(tmp_path / "backups", tmp_path / "again", chunk.name)
        chunk.write_bytes(whole[:-1])
        assert_refused(tmp_path / "backups", tmp_path / "again", chunk.name)
        chunk.unlink()
        assert_refused(tmp_path / "backups", tmp_path / "again", chunk.name)
        chunk.write_bytes(whole)
    Catalog.restore(tmp_path / "backups", tmp_path / "again")


def test_a_changed_byte_in_the_manifest_is_found(catalog: Catalog, tmp_path: Path) -> None:
    name = catalog.backup(tmp_path / "backups").snapshot.name
    manifest = tmp_path / "backups" / "snapshots" / f"{name}.json"
    whole = manifest.read_bytes()
    for at in range(0, len(whole), 7):
        flip(manifest, at)
        assert_refused(tmp_path / "backups", tmp_path / "again", name)
        manifest.write_bytes(whole)
    manifest.write_bytes(whole[: len(whole) // 2])
    assert_refused(tmp_path / "backups", tmp_path / "again", name)


def test_a_changed_byte_in_the_tar_file_is_found(catalog: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "shop.tar"
    catalog.backup(path)
    with tarfile.open(path) as file:
        places = [(member.offset + 5, member.offset_data + member.size // 2) for member in file]
    assert len(places) > 8
    for place in [at for pair in places for at in pair]:
        flip(path, place)
        assert_refused(path, tmp_path / "again")
        flip(path, place)
    whole = path.read_bytes()
    for length in (0, 100, len(whole) // 3, len(whole) - len(whole) // 10):
        path.write_bytes(whole[:length])
        assert_refused(path, tmp_path / "again")
    path.write_bytes(whole)
    Catalog.restore(path, tmp_path / "again")


@pytest.mark.parametrize(
    "name", ["../out", "/etc/out", "thumbnails/../../out", "a//b", ".", "C:\\out", "a\\..\\b", ".hidden", "a\nb", ""]
)
def test_a_manifest_cannot_lead_out_of_the_catalog(catalog: Catalog, tmp_path: Path, name: str) -> None:
    snapshot = catalog.backup(tmp_path / "backups").snapshot
    facts = orjson.loads(snapshot.to_json())
    facts["files"].append({**facts["files"][0], "path": name})
    write_manifest(tmp_path / "backups" / "snapshots", facts)
    assert_refused(tmp_path / "backups", tmp_path / "again", "no catalog has")
    assert not (tmp_path / "out").exists()


def test_a_manifest_names_each_file_once_and_chunks_by_their_sha256(catalog: Catalog, tmp_path: Path) -> None:
    snapshot = catalog.backup(tmp_path / "backups").snapshot
    facts = orjson.loads(snapshot.to_json())
    place = tmp_path / "backups" / "snapshots"
    write_manifest(place, {**facts, "files": facts["files"] * 2})
    assert_refused(tmp_path / "backups", tmp_path / "again", "does not list")
    write_manifest(place, {**facts, "files": facts["files"][1:]})
    assert_refused(tmp_path / "backups", tmp_path / "again", "does not list")
    write_manifest(place, {**facts, "files": [{**facts["files"][0], "chunks": ["../../../etc/passwd"]}]})
    assert_refused(tmp_path / "backups", tmp_path / "again", "is not a chunk id")
    write_manifest(place, {**facts, "files": [{**one, "chunks": []} for one in facts["files"]]})
    assert_refused(tmp_path / "backups", tmp_path / "again", "not the file that was backed up")
    write_manifest(place, {"format": 99})
    assert_refused(tmp_path / "backups", tmp_path / "again", "format 99")


def write_manifest(place: Path, facts: dict[str, object]) -> None:
    content = orjson.dumps(facts)
    for path in place.iterdir():
        path.unlink()
    id_ = hashlib.sha256(content).hexdigest()[:12]
    (place / f"20300101T000000.000000Z-{id_}.json").write_bytes(content)


def test_links_and_odd_names_in_a_tar_file_are_not_followed(catalog: Catalog, tmp_path: Path) -> None:
    catalog.backup(tmp_path / "shop.tar")
    with tarfile.open(tmp_path / "shop.tar") as read, tarfile.open(tmp_path / "odd.tar", "w") as written:
        for member in read:
            if member.name.startswith("chunks/"):
                member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc/passwd", 0
                written.addfile(member)
            else:
                written.addfile(member, read.extractfile(member))
        written.addfile(tarfile.TarInfo("../out"), io.BytesIO())
    assert_refused(tmp_path / "odd.tar", tmp_path / "again", "lacks chunks")
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_over(catalog: Catalog, tmp_path: Path) -> None:
    catalog.backup(tmp_path / "backups")
    catalog.backup(tmp_path / "shop.tar")
    with pytest.raises(CatalogExists):
        Catalog.restore(tmp_path / "backups", tmp_path / "vectors")
    with pytest.raises(UsageError, match="already"):
        catalog.backup(tmp_path / "shop.tar")
    with pytest.raises(UsageError, match="catalog itself"):
        catalog.backup(tmp_path / "vectors" / "backups")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").touch()
    with pytest.raises(UsageError, match="other files"):
        catalog.backup(tmp_path / "other")
    with pytest.raises(UsageError, match="--keep"):
        catalog.backup(tmp_path / "new.tar", keep=2)
    with pytest.raises(UsageError, match="at least 1"):
        catalog.backup(tmp_path / "backups", keep=0)
    with pytest.raises(BackupNotFound):
        Catalog.restore(tmp_path / "nowhere", tmp_path / "again")
    (tmp_path / "empty").mkdir()
    Catalog.restore(tmp_path / "shop.tar", tmp_path / "empty")
    assert Catalog.open(tmp_path / "empty").count() == 6000


def test_two_backups_do_not_write_to_one_place_at_once(catalog: Catalog, tmp_path: Path) -> None:
    def second(what: str, done: int, total: int) -> None:
        with pytest.raises(CatalogBusy):
            catalog.backup(tmp_path / "backups")

    catalog.backup(tmp_path / "backups", progress=second)
    assert len(list_snapshots(tmp_path / "backups")) == 1


# --- disks that are full or failing, and sources that are damaged ---------------------------------------------------


def limited(size: int, *arguments: object) -> str:
    """Return the command line's message when no file may grow beyond `size` bytes, as on a full disk."""
    with no_file_grows_beyond(size):
        said = " ".join(call(*arguments, code=1).split())
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize("size", [0, 20_000, 600_000])
@pytest.mark.parametrize("name", ["backups", "shop.tar"])
def test_a_file_that_cannot_grow_fails_the_backup_and_leaves_the_one_before(
    catalog: Catalog, tmp_path: Path, name: str, size: int
) -> None:
    before = catalog.backup(tmp_path / "backups").snapshot
    catalog.add_vectors([f"n{number}" for number in range(6000)], rows(6000))
    assert "cannot be written to" in limited(size, "backup", tmp_path / "vectors", tmp_path / name)
    assert not (tmp_path / "shop.tar").exists()
    assert list_snapshots(tmp_path / "backups") == [before]
    Catalog.restore(tmp_path / "backups", tmp_path / "again")
    catalog.backup(tmp_path / name)
    assert {path.name for path in (tmp_path / "backups" / "building").iterdir()} <= {"lock"}


def test_a_restore_that_does_not_fit_leaves_nothing(catalog: Catalog, tmp_path: Path) -> None:
    catalog.backup(tmp_path / "backups")
    assert "cannot be written to" in limited(100_000, "restore", tmp_path / "backups", tmp_path / "again")
    assert {path.name for path in tmp_path.iterdir()} == {"vectors", "backups"}


def test_a_full_disk_fails_the_backup_and_leaves_the_one_before(catalog: Catalog, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(small)], capture_output=True).returncode:
        return  # not allowed to mount here: the limit on files above stands for it
    try:
        catalog.backup(small / "backups")
        room = shutil.disk_usage(small).free
        (small / "other").write_bytes(bytes(max(room - 100_000, 0)))
        catalog.add_vectors([f"n{number}" for number in range(6000)], rows(6000))
        for place in (small / "backups", small / "shop.tar"):
            with pytest.raises(StorageFailed, match="cannot be written to"):
                catalog.backup(place)
        assert not (small / "shop.tar").exists()
        with pytest.raises(StorageFailed, match="cannot be written to"):
            Catalog.restore(small / "backups", small / "again")
        assert not (small / "again").exists()
        Catalog.restore(small / "backups", tmp_path / "again")
        assert Catalog.open(tmp_path / "again").count() == 6000
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_place_that_cannot_be_written_is_named(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "backups", tmp_path / "file" / "shop.tar"):
        with pytest.raises(StorageFailed, match="file"):
            catalog.backup(place)
    catalog.backup(tmp_path / "backups")
    with pytest.raises(StorageFailed, match="file"):
        Catalog.restore(tmp_path / "backups", tmp_path / "file" / "again")


def test_a_source_that_cannot_be_read_fails_the_backup(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = catalog.backup(tmp_path / "backups").snapshot
    opened = Path.open

    def failing(path: Path, *arguments: object, **options: object) -> object:
        if path.name == "small.webp":
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **options)  # type: ignore[call-overload]

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", failing)
        with pytest.raises(StorageFailed, match=r"small\.webp cannot be read: Permission denied"):
            catalog.backup(tmp_path / "backups")
    catalog.close()
    records = tmp_path / "vectors" / "records.sqlite"
    content = bytearray(records.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4096 * 4] = bytes(4096 * 4)
    records.write_bytes(content)
    with pytest.raises(CatalogDamaged, match="lookalike verify"):
        Catalog.open(tmp_path / "vectors").backup(tmp_path / "backups")
    assert list_snapshots(tmp_path / "backups") == [before]
    Catalog.restore(tmp_path / "backups", tmp_path / "again")


# --- kills ----------------------------------------------------------------------------------------------------------

BACKUPS = """
import sys
import numpy as np
from lookalike import Catalog
random = np.random.default_rng(int(sys.argv[3]))
with Catalog.open(sys.argv[1]) as catalog:
    print("running", flush=True)
    while True:
        turn = int(random.integers(1 << 40))
        catalog.add_vectors([f"k{n}" for n in range(50)], random.standard_normal((50, 8)), {"turn": [turn] * 50})
        catalog.backup(sys.argv[2], keep=3)
"""


def kill_and_restore(folder: Path, kills: int, seed: int, name: str = "backups") -> int:
    """Kill a loop of backups at random moments; after each, every snapshot there is must be whole. Returns how many."""
    moments = random.Random(seed)
    backups = folder / name
    with Catalog.create(folder / "shop", dim=DIM) as catalog:
        numbers = range(5000)
        catalog.add_vectors([f"k{n}" for n in numbers], rows(5000), {"turn": [0] * 5000})
        catalog.backup(backups)
    most = 0
    for number in range(kills):
        arguments = [sys.executable, "-c", BACKUPS, str(folder / "shop"), str(backups), str(seed + number)]
        process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(moments.uniform(0, 0.6))
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
        assert not errors
        snapshots = list_snapshots(backups)
        assert 1 <= len(snapshots) <= 4
        most = max(most, snapshots[-1].commit)
        for snapshot in snapshots:
            Catalog.restore(backups, folder / "again", snapshot=snapshot.name)
            with Catalog.open(folder / "again") as restored:
                assert restored.count() == snapshot.items == 5000
                turns = {item.fields["turn"] for item in restored.get([f"k{n}" for n in range(50)])}
                assert len(turns) == 1
            shutil.rmtree(folder / "again")
    with Catalog.open(folder / "shop") as catalog:
        catalog.backup(backups, keep=1)
    assert {path.name for path in (backups / "building").iterdir()} <= {"lock"}
    store = FolderStore(backups)
    (name,) = store.snapshot_names()
    assert {path.name for path in backups.glob("chunks/*/*")} == set(store.snapshot(name).chunk_ids())
    return most


@pytest.mark.kill
def test_a_killed_backup_harms_no_other_and_is_cleared_away(tmp_path: Path) -> None:
    kill_and_restore(tmp_path, kills=4, seed=1)


# --- the command line -----------------------------------------------------------------------------------------------


def test_the_commands_back_up_list_and_restore(catalog: Catalog, tmp_path: Path) -> None:
    made = call_json("backup", tmp_path / "vectors", tmp_path / "backups", "--keep", 2)
    assert (made["items"], made["removed"]) == (6000, [])
    listed = call_json("backups", tmp_path / "backups")
    assert listed == [{name: made[name] for name in listed[0]}]
    assert call_json("restore", tmp_path / "backups", tmp_path / "again") == listed[0]
    with Catalog.open(tmp_path / "again") as restored:
        assert restored.info().generation
    for arguments in (["backup", "vectors", "more"], ["backups", "more"], ["restore", "more", "third"]):
        call(arguments[0], *(tmp_path / name for name in arguments[1:]))
    call("restore", tmp_path / "more", tmp_path / "third", code=1)


def test_every_error_of_a_backup_is_a_sentence() -> None:
    for kind in (BackupDamaged, BackupNotFound, StorageFailed):
        assert issubclass(kind, LookalikeError)
    with pytest.raises(BackupDamaged, match="cannot be read"):
        Snapshot.from_json("20300101T000000.000000Z-e3b0c44298fc", b"")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        commits = kill_and_restore(Path(place), int(sys.argv[1]), seed=os.getpid())
    sys.stdout.write(f"{sys.argv[1]} kills during {commits} commits and backups: every snapshot is whole\n")

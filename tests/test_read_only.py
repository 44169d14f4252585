"""Catalogs in folders that cannot be written to, and files that are missing, forbidden or something else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lookalike import Catalog
from lookalike.data.errors import CatalogDamaged, CatalogNotFound, LookalikeError
from lookalike.ui.errors import exit_code_of, status_of

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
DIM = 8
ROWS = np.random.default_rng(4).standard_normal((600, DIM)).astype(np.float32)
KEYS = [f"k{number}" for number in range(600)]
NOBODY = 65_534


@pytest.fixture
def folder() -> Iterator[Path]:
    """A catalog where any user may reach it, with a generation and a tail."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    with Catalog.create(place / "shop", dim=DIM) as catalog:
        catalog.add_vectors(KEYS[:500], ROWS[:500], {"price": list(range(500))})
        catalog.optimize(index="hnsw")
        catalog.add_vectors(KEYS[500:], ROWS[500:], {"price": list(range(500, 600))})
    yield place / "shop"
    subprocess.run(["chmod", "-R", "u+w", str(place)], check=True)
    shutil.rmtree(place)


USED = """
import contextlib, io, os, sys, tempfile
import numpy as np
from lookalike import Catalog
from lookalike.data.errors import LookalikeError
rows = np.random.default_rng(4).standard_normal((600, 8)).astype(np.float32)

def use(path):
    name_of = os.path.basename(path)
    try:
        with Catalog.open(path) as catalog:
            print("searched", *catalog.search(vector=rows[7], limit=3, recall="exact").keys, catalog.count(),
                  catalog.count(filter="price < 100"), catalog.get(["k550"])[0].fields["price"], len(catalog.log()),
                  catalog.count(as_of=1), catalog.info().items, len(catalog.verify().problems))
            for name, write in {
                "add": lambda: catalog.add_vectors(["new"], rows[:1]),
                "update": lambda: catalog.update(["k1"], {"price": [0]}),
                "delete": lambda: catalog.delete(keys=["k1"]),
                "field": lambda: catalog.add_field("stock", "int"),
                "optimize": lambda: catalog.optimize(),
                "purge": lambda: catalog.purge(1),
                "index": lambda: catalog._core.writer().__enter__(),
                "backup into it": lambda: catalog.backup(path + "/../backups"),
            }.items():
                try:
                    write()
                    print(name, "done")
                except LookalikeError as error:
                    print(name, type(error).__name__, name_of in str(error) or "backup" in name)
            print("after", catalog.count(), *catalog.search(vector=rows[7], limit=3, recall="exact").keys)
    except LookalikeError as error:
        print("refused", type(error).__name__, error)

# Once where all is allowed: what Python loads for it may be out of reach of another user.
with tempfile.TemporaryDirectory() as place, contextlib.redirect_stdout(io.StringIO()):
    with Catalog.create(place + "/shop", dim=8) as catalog:
        catalog.add_vectors([f"k{number}" for number in range(600)], rows, {"price": list(range(600))})
        catalog.optimize(index="hnsw")
    use(place + "/shop")
if int(sys.argv[2]):
    os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
use(sys.argv[1])
"""
REFUSED = ["add", "update", "delete", "field", "optimize", "purge", "index"]


def used(folder: Path, user: int) -> tuple[list[str], str]:
    """Search and try to write in a process of its own; return what it printed, and what it logged."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/"}
    done = subprocess.run(
        [sys.executable, "-c", USED, str(folder), str(user)], cwd=ROOT, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout.splitlines(), done.stderr


def expected_search() -> list[str]:
    stored = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)
    return [KEYS[place] for place in np.argsort(-(stored @ ROWS[7]))[:3]]


def forbid(folder: Path) -> int:
    """Remove the write permissions; return the user to run the tests as, since they do not restrict root."""
    subprocess.run(["chmod", "-R", "a-w,a+rX", str(folder)], check=True)
    return NOBODY if os.geteuid() == 0 else 0


def check_read_only(lines: list[str]) -> None:
    assert lines[0] == f"searched {' '.join(expected_search())} 600 100 550 2 500 600 0"
    assert lines[1:8] == [f"{name} CatalogReadOnly True" for name in REFUSED]
    assert lines[8] == "backup into it StorageFailed True"
    assert lines[9] == f"after 600 {' '.join(expected_search())}"


def test_a_catalog_whose_files_cannot_be_written_is_searched_and_not_changed(folder: Path) -> None:
    user = forbid(folder)
    folder.parent.chmod(0o555)
    before = sorted(path.name for path in folder.rglob("*"))
    lines, logged = used(folder, user)
    check_read_only(lines)
    assert logged == ""
    assert sorted(path.name for path in folder.rglob("*")) == before
    folder.parent.chmod(0o755)


@pytest.fixture
def mounted(folder: Path) -> Iterator[Path]:
    """The same folder on a mount that nobody can write to, not even root."""
    place = folder.with_name("mounted")
    place.mkdir()
    if subprocess.run(["mount", "--bind", str(folder), str(place)], capture_output=True).returncode:
        pytest.skip("not allowed to mount here: the test of permissions stands for it")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(place)], check=True)
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)  # files may still be mapped


def test_a_catalog_on_a_mount_that_is_read_only_is_searched_and_not_changed(mounted: Path) -> None:
    lines, logged = used(mounted, 0)
    assert lines[0] == f"searched {' '.join(expected_search())} 600 100 550 2 500 600 0"
    assert lines[1:8] == [f"{name} CatalogReadOnly True" for name in REFUSED]
    assert logged == ""


def test_what_somebody_else_commits_there_is_seen(folder: Path, mounted: Path) -> None:
    with Catalog.open(mounted) as reader:
        assert reader.count() == 600
        with Catalog.open(folder) as writer:
            writer.add_vectors(["late"], ROWS[:1])
            assert reader.count() == 601
            writer.delete(keys=["late", "k1"])
            assert reader.count() == 599
        assert reader.count() == 599
        assert reader.keys(["k1", "k2"]) == ["k2"]
    assert Catalog.open(folder).verify().problems == []


def test_a_damaged_generation_there_is_noted_and_the_records_answer(folder: Path) -> None:
    (index,) = folder.glob("generations/*/image.codes.faiss")
    content = bytearray(index.read_bytes())
    content[len(content) // 2] ^= 1
    index.write_bytes(content)
    lines, logged = used(folder, forbid(folder))
    assert lines[0] == f"searched {' '.join(expected_search())} 600 100 550 2 500 600 1"
    assert "cannot be used" in logged
    assert "stays as it is" in logged


KILLED = """
import os, signal, sys
from lookalike import Catalog
Catalog.open(sys.argv[1]).add_vectors(["late"], [[1] * 8])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.kill
def test_the_log_of_a_killed_writer_there_is_read_or_refused(folder: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(folder)], cwd=ROOT, check=False)
    shared = folder / "records.sqlite-shm"
    assert (folder / "records.sqlite-wal").stat().st_size
    user = forbid(folder)
    lines, _ = used(folder, user)
    assert " 601 " in lines[0] or lines[0].startswith("refused CatalogReadOnly")
    folder.chmod(0o755)
    shared.unlink()
    folder.chmod(0o555)
    lines, _ = used(folder, user)
    (line,) = lines
    assert line.startswith("refused CatalogReadOnly")
    assert "copy the whole folder" in line
    subprocess.run(["chmod", "-R", "u+w", str(folder)], check=True)
    with Catalog.open(folder) as catalog:
        assert catalog.count() == 601


def test_records_of_format_1_there_are_refused_and_say_why(folder: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(ROOT / "tests" / "format1", folder)
    (line,), _ = used(folder, forbid(folder))
    assert line.startswith("refused CatalogReadOnly")


@pytest.mark.parametrize(
    ("name", "what"), [("records.sqlite", "StorageFailed"), ("catalog.json", "StorageFailed"), (".", "StorageFailed")]
)
def test_a_file_that_must_not_be_read_is_named(folder: Path, name: str, what: str) -> None:
    (folder / name).chmod(0)
    (line,), _ = used(folder, NOBODY if os.geteuid() == 0 else 0)
    assert line.startswith(f"refused {what}")
    assert "Permission denied" in line
    assert folder.name in line
    (folder / name).chmod(0o755)


def test_a_generation_that_must_not_be_read_is_noted_and_the_records_answer(folder: Path) -> None:
    user = forbid(folder)
    (folder / "generations").chmod(0)
    lines, logged = used(folder, user)
    assert lines[0].startswith(f"searched {' '.join(expected_search())} 600 100")
    assert "cannot be used" in logged
    (folder / "generations").chmod(0o755)


def test_files_that_are_missing_or_something_else_are_named(folder: Path) -> None:
    records = (folder / "records.sqlite").read_bytes()
    for name, instead, kind in (
        ("records.sqlite", None, CatalogDamaged),
        ("records.sqlite", "folder", CatalogDamaged),
        ("records.sqlite", b"", LookalikeError),
        ("records.sqlite", b"SQLite format 3\0" + bytes(100), CatalogDamaged),
        ("records.sqlite", records[: len(records) // 2], CatalogDamaged),
        ("catalog.json", None, CatalogNotFound),
        ("catalog.json", "folder", CatalogNotFound),
        ("catalog.json", b"", CatalogDamaged),
        ("records.sqlite-wal", "folder", LookalikeError),
    ):
        kept = folder.with_name("kept")
        if (folder / name).exists():
            (folder / name).rename(kept)
        if instead == "folder":
            (folder / name).mkdir()
        elif isinstance(instead, bytes):
            (folder / name).write_bytes(instead)
        with pytest.raises(kind) as caught, Catalog.open(folder) as catalog:
            catalog.search(vector=ROWS[7], limit=3, recall="exact")
            catalog.get(KEYS)
            list(catalog.items())
            catalog.add_vectors(["new"], ROWS[:1])
        assert folder.name in str(caught.value) or name in str(caught.value) or "records" in str(caught.value)
        assert (exit_code_of(caught.value), status_of(caught.value) // 100) in ((1, 4), (1, 5))
        for left in (folder / name, folder / "records.sqlite-shm"):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
        if kept.exists():
            kept.rename(folder / name)
    with Catalog.open(folder) as catalog:
        assert catalog.count() == 600

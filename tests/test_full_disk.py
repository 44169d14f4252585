"""A disk that is full at any moment: a sentence, nothing lost that was acknowledged, nothing half there, on again."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from lookalike import Catalog
from lookalike.data.errors import StorageFailed
from lookalike.retrieval.files.storage import failing
from lookalike.retrieval.files.thumbnails import Thumbnails
from lookalike.retrieval.maintenance.repair import repair
from lookalike.retrieval.maintenance.verification import verify
from tests.running import no_file_grows_beyond

pytestmark = pytest.mark.slow

DIM = 32
COUNT = 1500
ROWS = np.random.default_rng(6).standard_normal((3 * COUNT, DIM)).astype(np.float32)
KEYS = [f"k{number}" for number in range(3 * COUNT)]
WAYS = ("add", "update", "delete", "optimize", "optimize ivf", "purge", "backup", "field")

State = dict[str, tuple[bytes, dict[str, object]]]


def state_of(catalog: Catalog) -> State:
    ids = {row.id: row.key for row in catalog._core.records.items()}
    rows = catalog._core.records.vectors("image", DIM)
    vectors = {ids[int(item)]: row.tobytes() for item, row in zip(rows.item_ids, rows.vectors, strict=True)}
    found: State = {item.key: (vectors[item.key], dict(item.fields)) for item in catalog.items()}
    assert catalog.count() == len(found) == len(vectors)
    hits = catalog.search(vector=ROWS[5], limit=5, recall="exact")
    stored = {key: float(np.frombuffer(vector, np.float16) @ ROWS[5]) for key, (vector, _) in found.items()}
    assert hits.keys == sorted(stored, key=lambda key: -stored[key])[:5]
    return found


class Made(NamedTuple):
    """A catalog that was made once, to be copied, and what it holds."""

    folder: Path
    state: State

    def copied(self, folder: Path) -> State:
        shutil.copytree(self.folder, folder)
        return self.state


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made") / "shop"
    with Catalog.create(folder, dim=DIM, metric="ip") as catalog:
        catalog.add_vectors(KEYS[:COUNT], ROWS[:COUNT], {"price": list(range(COUNT))})
        catalog.optimize()
        catalog.update(KEYS[:200], {"price": list(range(200))})
        catalog.delete(keys=KEYS[COUNT - 100 : COUNT])
        return Made(folder, state_of(catalog))


def perform(way: str, catalog: Catalog, backups: Path) -> None:
    match way:
        case "add":
            catalog.add_vectors(KEYS, ROWS, {"price": [1] * len(KEYS), "text": ["x" * 99] * len(KEYS)})
        case "update":
            catalog.update(KEYS[:1000], {"text": ["y" * 999] * 1000})
        case "delete":
            catalog.delete(keys=KEYS[: COUNT // 2])
        case "optimize":
            catalog.optimize(index="hnsw")
        case "optimize ivf":
            catalog.optimize(index="ivf_sq8")
        case "purge":
            catalog.purge(catalog._core.records.version()[0])
        case "backup":
            catalog.backup(backups)
        case "field":
            catalog.add_field("stock", "int")


def after(way: str, state: State) -> State:
    match way:
        case "add":
            halves = ROWS.astype(np.float16)
            new: State = {
                key: (row.tobytes(), {"price": 1, "text": "x" * 99}) for key, row in zip(KEYS, halves, strict=True)
            }
            return state | new
        case "update":
            return {
                key: (vector, {**fields, "text": "y" * 999 if key in set(KEYS[:1000]) else None})
                for key, (vector, fields) in state.items()
            }
        case "delete":
            return {key: held for key, held in state.items() if key not in set(KEYS[: COUNT // 2])}
        case "field":
            return {key: (vector, {**fields, "stock": None}) for key, (vector, fields) in state.items()}
    return state


def leftovers(folder: Path) -> list[str]:
    with Catalog.open(folder) as catalog:
        generation = catalog._core.records.version()[1]
    names = {path.name for path in (folder / "generations").iterdir()} - {generation}
    names |= {path.name for path in folder.rglob(".*") if path.is_file()}
    return sorted(names | {path.name for path in folder.rglob("checked.json.*")})


def check_whole(folder: Path, state: State) -> None:
    """Nothing that was acknowledged is lost, nothing half is seen, and nothing lies around."""
    with Catalog.open(folder) as catalog:
        assert state_of(catalog) == state
        assert catalog._core.records.purged_before() > 1 or catalog.count(as_of=1) == COUNT
    assert verify(folder).problems == []
    assert leftovers(folder) == []


@pytest.mark.parametrize("way", WAYS)
def test_files_that_cannot_grow_take_nothing_away(made: Made, tmp_path: Path, way: str) -> None:
    state = made.copied(tmp_path / "shop")
    refused = 0
    for size in (0, 70_000):
        with Catalog.open(tmp_path / "shop") as catalog:
            catalog.count()
            try:
                with no_file_grows_beyond(size):
                    perform(way, catalog, tmp_path / "backups")
                state = after(way, state)
            except StorageFailed as error:
                assert "again" in str(error)
                assert str(tmp_path) in str(error)
                refused += 1
        check_whole(tmp_path / "shop", state)
    assert refused
    with Catalog.open(tmp_path / "shop") as catalog:
        with suppress(StorageFailed), no_file_grows_beyond(0):
            perform(way, catalog, tmp_path / "backups")
        perform(way, catalog, tmp_path / "backups")  # by the same object, once there is room
    check_whole(tmp_path / "shop", after(way, state))


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MB."""
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "none", str(place)], capture_output=True).returncode:
        pytest.skip("not allowed to mount here: the limit on files stands for it")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)  # files may still be mapped


@pytest.mark.parametrize("room", [0, 120_000])
@pytest.mark.parametrize("way", WAYS)
def test_a_disk_that_is_full_takes_nothing_away(made: Made, small: Path, way: str, room: int) -> None:
    state = made.copied(small / "shop")
    with Catalog.open(small / "shop") as catalog:
        catalog.count()
        free = shutil.disk_usage(small).free
        (small / "other").write_bytes(bytes(max(free - room, 0)))
        try:
            perform(way, catalog, small / "backups")
            state = after(way, state)
        except StorageFailed as error:
            assert "cannot be" in str(error)
            assert str(small) in str(error)
            assert "again" in str(error)
        assert state_of(catalog) == state
        assert {path.name for path in (small / "shop" / "generations").iterdir()} == {
            catalog._core.records.version()[1]
        }
        (small / "other").unlink()
        perform(way, catalog, small / "backups")
        assert state_of(catalog) == after(way, state)
    check_whole(small / "shop", after(way, state))


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(28, "No space left on device"), True),
        (OSError("No space left on device (os error 28)"), True),  # polars
        (OSError("8192 requested and 12 written"), True),  # NumPy
        (OSError("Permission denied (os error 13)"), False),
        (OSError(5, "Input/output error"), False),
    ],
)
def test_a_full_disk_is_told_from_other_errors_whoever_says_it(tmp_path: Path, error: OSError, full: bool) -> None:
    with pytest.raises(StorageFailed) as failed, failing(tmp_path, "written to"):
        raise error
    assert ("there is no room left" in str(failed.value)) == full


def test_a_new_catalog_that_does_not_fit_leaves_nothing(small: Path) -> None:
    (small / "other").write_bytes(bytes(shutil.disk_usage(small).free))
    with pytest.raises(StorageFailed, match="cannot be"):
        Catalog.create(small / "shop", dim=DIM)
    assert [path.name for path in small.iterdir()] == ["other"]


def test_a_thumbnail_that_does_not_fit_leaves_nothing(small: Path) -> None:
    (small / "thumbnails" / "ab").mkdir(parents=True)
    (small / "other").write_bytes(bytes(shutil.disk_usage(small).free - 8192))
    with pytest.raises(StorageFailed, match="no room"):
        Thumbnails(small / "thumbnails").put("ab" * 32, os.urandom(50_000))
    assert list((small / "thumbnails" / "ab").iterdir()) == []


def test_a_salvage_that_does_not_fit_leaves_nothing(made: Made, small: Path) -> None:
    made.copied(small / "shop")
    content = bytearray((small / "shop" / "records.sqlite").read_bytes())
    content[16384 * 3 : 16384 * 4] = b"\xff" * 16384
    (small / "shop" / "records.sqlite").write_bytes(content)
    (small / "other").write_bytes(bytes(shutil.disk_usage(small).free - 100_000))
    with pytest.raises(StorageFailed, match="again"):
        repair(small / "shop")
    assert {path.name for path in small.iterdir()} == {"shop", "other"}

"""Every kind of damage is found by `verify`, and mended or set aside by `repair`."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest
from PIL import Image
from typer.testing import CliRunner

from lookalike import Catalog
from lookalike.data.errors import CatalogBusy, CatalogNotFound, UsageError
from lookalike.retrieval.maintenance.repair import repair
from lookalike.retrieval.maintenance.verification import ProblemKind, verify
from lookalike.ui.cli.main import app
from tests.fakes import ColourEncoder
from tests.test_kill import contents, same

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "data" / "sample"
DIM = 8
RANDOM = np.random.default_rng(3)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "vectors"
    with Catalog.create(folder, dim=DIM) as catalog:
        rows = RANDOM.standard_normal((2000, DIM)).astype(np.float32)
        catalog.add_vectors([f"k{number}" for number in range(2000)], rows, {"price": list(range(2000))})
        catalog.optimize()
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "vectors"))


@pytest.fixture
def copied_shop(shop: Path, tmp_path: Path) -> Path:
    shutil.copytree(shop, tmp_path / "copied")
    return tmp_path / "copied"


def run(folder: Path, sql: str, *parameters: object) -> None:
    connection = sqlite3.connect(folder / "records.sqlite")
    with connection:
        assert connection.execute(sql, parameters).rowcount
    connection.close()


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def set_vector(folder: Path, key: str, vector: object) -> None:
    run(folder, "UPDATE vectors SET vector = ? WHERE item_id = (SELECT id FROM items WHERE key = ?)", vector, key)


def halves(*values: float) -> bytes:
    return np.array(values, dtype=np.float16).tobytes()


def test_sound_catalogs_have_no_problem_and_are_not_changed(folder: Path, copied_shop: Path) -> None:
    for one, checked in ((folder, {"items": 2000, "vectors": 2000}), (copied_shop, {"items": 510, "thumbnails": 548})):
        before = files(one)
        found = verify(one)
        assert found.problems == []
        assert checked.items() <= found.checked.items()
        assert repair(one).mended == []
        assert files(one) == before
    with Catalog.open(folder) as catalog:
        catalog.add_vectors(["new"], np.ones((1, DIM)))
        catalog.delete(keys=["k1", "k2"])
        assert catalog.verify().problems == []
    assert verify(folder).checked["items"] == 1999


KILLED = """
import os, signal, sys
from lookalike import Catalog
Catalog.open(sys.argv[1]).add_vectors(["late"], [[1] * 8])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.kill
def test_the_log_of_a_killed_writer_is_read_and_left_as_it_is(folder: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(folder)], cwd=ROOT, check=False)
    before = files(folder)
    assert before["records.sqlite-wal"]
    found = verify(folder)
    assert (found.problems, found.checked["items"], found.commit) == ([], 2001, 2)
    after = files(folder)
    assert {name: after[name] for name in before if name != "records.sqlite-shm"} == {
        name: digest for name, digest in before.items() if name != "records.sqlite-shm"
    }


@pytest.mark.parametrize(
    ("vector", "why"),
    [
        (halves(np.nan, *[0.0] * 7), "not a finite number"),
        (halves(np.inf, *[0.0] * 7), "not a finite number"),
        (halves(1, 0, 0), "3 values instead of 8"),
        (b"", "0 values instead of 8"),
        ("text", "something else instead of 8"),
        (halves(*[0.0] * 8), "length 0 instead of 1"),
        (halves(1.01, *[0.0] * 7), "length 1.01 instead of 1"),
    ],
)
def test_a_bad_vector_is_found_and_its_item_put_aside(folder: Path, vector: object, why: str) -> None:
    set_vector(folder, "k7", vector)
    (problem,) = verify(folder).problems
    assert (problem.kind, problem.where) == (ProblemKind.ITEM, "item 'k7'")
    assert why in problem.what
    report = repair(folder)
    assert report.quarantined == ["k7"]
    assert report.left == []
    assert report.quarantine is not None
    (line,) = (folder / report.quarantine).read_bytes().splitlines()
    assert orjson.loads(line) == {
        "key": "k7",
        "title": None,
        "fields": {"price": 7},
        "images": [],
        "reasons": [problem.what],
    }
    with Catalog.open(folder) as catalog:
        assert catalog.count() == 1999
        assert catalog.search(vector=np.ones(DIM), limit=5).exact
        assert catalog.verify().problems == []
        catalog.add_vectors(["k7"], np.ones((1, DIM)))
        assert catalog.count() == 2000


def test_inner_products_need_no_unit_vectors(tmp_path: Path) -> None:
    with Catalog.create(tmp_path / "ip", dim=2, metric="ip") as catalog:
        catalog.add_vectors(["a", "b"], [[3, 4], [0, 0]])
        assert catalog.verify().problems == []


IMAGE = "INSERT INTO images (item_id, position, source, sha256, width, height, born) VALUES "
DAMAGES: dict[str, tuple[str, ProblemKind, int]] = {
    "fields that are no JSON": ("UPDATE items SET fields = '{' WHERE key = 'k3'", ProblemKind.ITEM, 1999),
    "fields that are no object": ("UPDATE items SET fields = '[1]' WHERE key = 'k3'", ProblemKind.ITEM, 1999),
    "a vector without item": ("UPDATE vectors SET item_id = 99999 WHERE id = 5", ProblemKind.LOOSE_VECTOR, 2000),
    "a vector without image": ("UPDATE vectors SET image_id = 99 WHERE id = 5", ProblemKind.LOOSE_VECTOR, 2000),
    "a vector of another space": ("UPDATE vectors SET space = 'x' WHERE id = 5", ProblemKind.LOOSE_VECTOR, 2000),
    "an image without item": (
        f"{IMAGE} (99999, 0, 'a', x'00', 1, 1, 1)",
        ProblemKind.LOOSE_IMAGE,
        2000,
    ),
    "an image without vector": (
        f"{IMAGE} (4, 0, 'a', x'00', 1, 1, 1)",
        ProblemKind.ITEM,
        1999,
    ),
    "a vector of a dead image": (
        "INSERT INTO vectors (space, item_id, image_id, born, vector) "
        "SELECT 'image', 4, 1, 1, vector FROM vectors LIMIT 1",
        ProblemKind.LOOSE_VECTOR,
        2000,
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_does_not_belong_together_is_found_and_mended(folder: Path, damage: str) -> None:
    sql, kind, left = DAMAGES[damage]
    if "dead" in damage:
        run(folder, "INSERT INTO images VALUES (1, 4, 0, 'a', x'00', 1, 1, 1, 1)")
    run(folder, sql)
    assert kind in {problem.kind for problem in verify(folder).problems}
    report = repair(folder)
    assert report.left == []
    assert report.mended
    with Catalog.open(folder) as catalog:
        assert catalog.count() == left
        assert len(catalog.search(vector=np.ones(DIM), limit=3).hits) == 3


def wreck(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("wrecked", [wreck, Path.unlink])
def test_any_file_of_the_generation_is_found_and_made_anew(folder: Path, wrecked: Callable[[Path], None]) -> None:
    names = {path.name for path in (folder / "generations").glob("*/*")}
    for name in sorted(names - {"checked.json"}):  # which only says that the others need not be read again
        (path,) = (folder / "generations").glob(f"*/{name}")
        wrecked(path)
        found = verify(folder).problems
        assert {problem.kind for problem in found} == {ProblemKind.GENERATION}
        assert name in found[0].where or name == "manifest.json"  # in which a checksum changed
        report = repair(folder)
        assert report.left == []
        assert "rebuilt" in report.mended[0]
    (generation,) = (folder / "generations").iterdir()
    shutil.rmtree(generation)
    assert verify(folder).problems[0].kind is ProblemKind.GENERATION
    run(folder, "UPDATE generation SET name = NULL")
    assert verify(folder).problems == []


def test_counts_of_the_generation_are_compared_with_the_records(folder: Path) -> None:
    run(folder, "DELETE FROM items WHERE key = 'k9'")
    run(folder, "DELETE FROM vectors WHERE item_id NOT IN (SELECT id FROM items)")
    found = verify(folder).problems
    assert [problem.what for problem in found] == [
        "The generation has 2,000 image as of commit 1, the records 1,999.",
        "The generation has 2,000 items as of commit 1, the records 1,999.",
    ]
    assert repair(folder).left == []


def test_thumbnails_are_looked_at_and_made_from_the_pictures(copied_shop: Path) -> None:
    first, second, *_ = sorted((copied_shop / "thumbnails").glob("*/*.webp"))
    content = first.read_bytes()
    first.write_bytes(content[:40])
    second.unlink()
    found = verify(copied_shop).problems
    assert [problem.kind for problem in found] == [ProblemKind.THUMBNAIL] * 2
    assert {first.stem, second.stem} == {problem.sha256 for problem in found}
    assert len(repair(copied_shop).left) == 2
    assert len(repair(copied_shop, pictures=copied_shop).left) == 2
    report = repair(copied_shop, pictures=SAMPLE)
    assert report.left == []
    assert report.mended == ["Rebuilt 2 thumbnails."]
    assert first.read_bytes() == content


@pytest.mark.parametrize("place", ["another folder", "another name", "an address", "fetched"])
def test_thumbnails_are_made_from_the_same_bytes_wherever_they_lie(
    copied_shop: Path, tmp_path: Path, place: str
) -> None:
    thumbnail = min((copied_shop / "thumbnails").glob("*/*.webp"))
    content = thumbnail.read_bytes()
    thumbnail.write_bytes(content[:40])
    (problem,) = verify(copied_shop).problems
    assert "--pictures" in problem.mend and "--restart" in problem.mend
    picture = next(
        path
        for path in SAMPLE.parent.rglob("*")
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == thumbnail.stem
    )
    files = tmp_path / "files"
    files.mkdir()
    (files / "other.jpg").write_bytes(b"no picture")
    (files / "same").mkdir()
    (files / "same" / picture.name).write_bytes(b"no picture of this name")
    target = files / "deep" / ("x.bin" if place == "another name" else picture.name)
    if place == "fetched":
        target = copied_shop / "fetched" / "pictures" / thumbnail.stem[:2] / thumbnail.stem
    if place == "an address":
        with Catalog.open(copied_shop) as catalog, catalog._core.records._database.immediate() as connection:
            connection.execute(
                "UPDATE images SET source = ? WHERE sha256 = ?",
                (f"https://shop.example/a%20b/{picture.name}?size=1", bytes.fromhex(thumbnail.stem)),
            )
    target.parent.mkdir(parents=True)
    shutil.copyfile(picture, target)
    report = repair(copied_shop, pictures=None if place == "fetched" else files)
    assert report.left == [] and report.mended == ["Rebuilt 1 thumbnail."]
    assert thumbnail.read_bytes() == content


def test_a_damaged_thumbnail_is_made_anew_when_a_feed_is_indexed_with_restart(
    tmp_path: Path, encoder: ColourEncoder
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ("red", "blue"):
        Image.new("RGB", (40, 40), name).save(pictures / f"{name}.png")
    with Catalog.create(tmp_path / "shop", model="colour") as catalog:
        catalog.index(pictures).finish()
        first, second = sorted((tmp_path / "shop" / "thumbnails").glob("*/*.webp"))
        content, changed = first.read_bytes(), second.stat().st_mtime_ns
        first.write_bytes(content[:40])
        catalog.index(pictures).finish()
        assert len(catalog.verify().problems) == 1
        catalog.index(pictures, restart=True).finish()
        assert catalog.verify().problems == []
        assert (first.read_bytes(), second.stat().st_mtime_ns) == (content, changed)


def test_a_damaged_catalog_file_is_said(folder: Path) -> None:
    (folder / "catalog.json").write_text("{")
    (problem,) = verify(folder).problems
    assert problem.kind is ProblemKind.CATALOG_FILE
    assert repair(folder).left == [problem]
    with pytest.raises(CatalogNotFound):
        verify(folder.parent / "nowhere")


def test_repair_waits_for_nobody(folder: Path) -> None:
    set_vector(folder, "k7", b"")
    with Catalog.open(folder) as catalog, catalog._core.writer(), pytest.raises(CatalogBusy):
        catalog.repair()


# --- records that SQLite cannot read --------------------------------------------------------------------------------


PAGE = 16_384


def page_with(folder: Path, text: bytes) -> int:
    """Find the page that has a text in it."""
    return (folder / "records.sqlite").read_bytes().index(text) // PAGE


def spoil(folder: Path, page: int, part: slice = slice(0, PAGE)) -> None:
    content = bytearray((folder / "records.sqlite").read_bytes())
    start, stop, _ = part.indices(PAGE)
    content[page * PAGE + start : page * PAGE + stop] = b"\xff" * (stop - start)
    (folder / "records.sqlite").write_bytes(content)


@pytest.mark.parametrize("part", [slice(0, PAGE), slice(0, PAGE // 4), slice(PAGE // 2, PAGE), slice(PAGE // 2, -512)])
def test_of_damaged_records_the_rest_is_saved_beside(folder: Path, part: slice) -> None:
    before = contents(folder)
    spoil(folder, page_with(folder, b"k1000{"), part)
    untouched = (folder / "records.sqlite").read_bytes()
    found = verify(folder).problems
    assert {problem.kind for problem in found} == {ProblemKind.RECORDS}
    assert "restore" in found[0].mend.lower()
    report = repair(folder)
    assert (folder / "records.sqlite").read_bytes() == untouched
    assert report.left == found
    assert report.recovered is not None
    assert any(line.startswith("items: rows ") for line in report.lost)
    after = contents(report.recovered)
    assert 1000 < len(after) < 2000
    gaps = [
        line.removeprefix("items: rows from ").split(" to ") for line in report.lost if line.startswith("items: rows")
    ]
    lost = {f"k{id_ - 1}" for first, last in gaps for id_ in range(int(first), int(last) + 1)}
    assert set(before) - set(after) <= lost | set(report.quarantined)
    assert all(same(before[key], after[key]) for key in after)
    assert verify(report.recovered).problems == []


def test_every_page_may_be_the_damaged_one(folder: Path) -> None:
    whole = (folder / "records.sqlite").read_bytes()
    pages = len(whole) // PAGE
    assert pages > 10
    for page in range(pages):
        spoil(folder, page)
        found = verify(folder).problems
        if any(problem.kind is ProblemKind.RECORDS for problem in found):
            report = repair(folder)
            if report.recovered is None:
                assert page == 0
                assert "backup" in report.lost[0]
            else:
                assert verify(report.recovered).problems == []
                shutil.rmtree(report.recovered)
        for left in folder.glob("records.sqlite*"):
            left.unlink()
        (folder / "records.sqlite").write_bytes(whole)
    assert verify(folder).problems == []


def test_history_and_what_is_purged_are_saved_too(folder: Path, tmp_path: Path) -> None:
    keys = [f"k{number}" for number in range(2000)]
    with Catalog.open(folder) as catalog:
        catalog.update(keys[:300], {"price": [-1] * 300})
        catalog.purge(2)
        catalog.update(keys[100:500], {"price": [-2] * 400})
        catalog.delete(keys=keys[1990:])
        catalog.optimize()
        run(folder, f"{IMAGE} (4, 0, 'a', x'00', 1, 1, 1)")
        run(folder, "UPDATE images SET died = 3")
        run(folder, "INSERT INTO image_history VALUES (1, 2, 'before', 3)")
        seen = {at: {item.key: item.fields for item in catalog.items(as_of=at)} for at in (2, 3, 4)}
        log = catalog.log()
    spoil(folder, page_with(folder, b"k1000{"))
    report = repair(folder)
    assert report.recovered is not None
    assert not any(line.startswith(("history", "image", "commits", "purged")) for line in report.lost)
    with Catalog.open(report.recovered) as saved:
        # vectors that lost their items end in a commit of their own
        assert [one for one in saved.log() if one.seq <= 4] == log
        assert saved._core.records.purged_before() == 2
        with pytest.raises(UsageError, match="oldest"):
            saved.count(as_of=1)
        for at, before in seen.items():
            after = {item.key: item.fields for item in saved.items(as_of=at)}
            assert after.items() <= before.items()
            assert len(before) - 700 < len(after)
        assert saved.add_vectors(["new"], np.ones((1, DIM))) > 4
        (row,) = saved._core.records.items_of_keys(["new"]).values()
        assert row.id == 2001
    rows = sqlite3.connect(report.recovered / "records.sqlite")
    assert rows.execute("SELECT * FROM image_history").fetchall() == [(1, 2, "before", 3)]
    assert [rows.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "auto_vacuum")] == [PAGE, 2]
    rows.close()


def test_records_of_format_1_are_saved_too(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tests" / "format1", tmp_path / "old")
    path = tmp_path / "old" / "records.sqlite"
    rows = sqlite3.connect(path)
    (page,) = rows.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_items_1'").fetchone()
    rows.close()
    content = bytearray(path.read_bytes())
    content[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    path.write_bytes(content)
    report = repair(tmp_path / "old")
    assert report.recovered is not None
    with Catalog.open(report.recovered) as saved:
        assert {problem.kind for problem in saved.verify().problems} <= {ProblemKind.THUMBNAIL}
        assert saved.keys(["mug", "bowl", "jug", "cup", "vase"]) == ["mug", "bowl", "cup", "vase"]
        assert saved.count(as_of=1) == 3


def test_records_that_are_no_database_are_said(folder: Path) -> None:
    (folder / "records.sqlite").write_bytes(b"nothing of the kind" * 1000)
    report = repair(folder)
    assert report.left[0].kind is ProblemKind.RECORDS
    assert "backup" in report.lost[0]
    assert [path.name for path in folder.parent.iterdir()] == ["vectors"]
    (folder / "records.sqlite").unlink()
    assert "lost its records" in verify(folder).problems[0].what


# --- the command line -----------------------------------------------------------------------------------------------


def test_the_commands_answer_by_their_exit_codes(folder: Path) -> None:
    def call(*arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(app, [str(one) for one in arguments])
        return result.exit_code, result.stdout

    assert call("verify", folder)[0] == 0
    assert call("repair", folder) == (0, "Nothing is wrong.\n")
    set_vector(folder, "k7", b"")
    code, text = call("verify", folder, "--json")
    assert code == 1
    (problem,) = orjson.loads(text)["problems"]
    assert problem["where"] == "item 'k7'"
    assert problem["mend"] == "lookalike repair CATALOG"
    assert "item 'k7'" in call("verify", folder)[1]
    code, text = call("repair", folder, "--json")
    assert (code, orjson.loads(text)["quarantined"]) == (0, ["k7"])
    spoil(folder, page_with(folder, b"k1000{"))
    code, text = call("repair", folder)
    assert code == 1
    assert "Lost: items: rows" in text
    assert "restore BACKUP" in " ".join(text.split())
    assert call("repair", folder, "--json")[0] == 1
    assert call("verify", folder.parent / "nowhere")[0] == 1

"""A catalog is the folder that was opened, whatever becomes of its path and of the current directory."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from lookalike import Catalog
from lookalike.data.errors import CatalogGone, CatalogNotFound, LookalikeError, UsageError
from lookalike.retrieval.files.catalog_folder import CatalogFolder
from tests.public_calls import ELSEWHERE, INNER_READS, INNER_WRITES, READS, ROWS, WRITES, Call

PUBLIC = READS | WRITES
CALLS = PUBLIC | INNER_READS | INNER_WRITES


@pytest.fixture
def shop(tmp_path: Path, made: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "shop"))


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Another folder with a catalog of the same name, which nothing may touch."""
    folder = tmp_path / "elsewhere"
    with Catalog.create(folder / "shop", dim=4) as theirs:
        theirs.add_vectors(["theirs"], ROWS[:1])
    before = _content(folder)
    yield folder
    assert _content(folder) == before


def _content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def in_a_thread(call: Callable[..., object], *arguments: object) -> object:
    """Call in a new thread, which needs a connection of its own; return what it returns or raise what it raises."""
    found: list[object] = []
    raised: list[Exception] = []

    def run() -> None:
        try:
            found.append(call(*arguments))
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return found[0]


def both_ways(call: Call, catalog: Catalog, out: Path) -> None:
    call(catalog, out)
    in_a_thread(call, catalog, out)


def test_the_table_has_every_public_method() -> None:
    public = {name for kind in Catalog.__mro__ for name in vars(kind) if not name.startswith("_")}
    assert set(PUBLIC) | ELSEWHERE == public


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_every_call_goes_to_the_catalog_that_was_opened_after_the_current_directory_changed(
    shop: Path, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(shop.parent)
    with Catalog.open("shop") as catalog:
        out = tmp_path / "out"
        out.mkdir()
        monkeypatch.chdir(elsewhere)
        both_ways(CALLS[name], catalog, out)
        assert "theirs" not in catalog.keys(["theirs", "k1"])
    with Catalog.open(shop) as again:
        assert again.verify().problems == []


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_every_call_goes_on_where_the_folder_was_moved_to(shop: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with Catalog.open(shop) as catalog:
        catalog.count()
        moved = shop.rename(tmp_path / "moved")
        both_ways(CALLS[name], catalog, out)
        assert catalog.count() >= 39
    assert not shop.exists()
    with Catalog.open(moved) as again:
        assert again.verify().problems == []


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("searched", [False, True])
def test_every_call_says_that_the_folder_was_deleted_and_makes_nothing(
    shop: Path, tmp_path: Path, name: str, searched: bool
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with Catalog.open(shop) as catalog:
        if searched:
            catalog.search(vector=ROWS[0])
        shutil.rmtree(shop)
        with pytest.raises(CatalogGone, match="was deleted"):
            CALLS[name](catalog, out)
        with pytest.raises(CatalogGone, match="was deleted"):
            in_a_thread(CALLS[name], catalog, out)
    assert not shop.exists()
    with Catalog.create(shop, dim=4) as fresh:  # nothing stands in the way
        assert fresh.count() == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("kept", [False, True])
def test_every_call_says_that_another_folder_was_put_in_its_place_and_leaves_that_alone(
    shop: Path, tmp_path: Path, elsewhere: Path, name: str, kept: bool
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with Catalog.open(shop) as catalog:
        catalog.search(vector=ROWS[0])
        if kept:
            shop.rename(tmp_path / "before")
        else:
            shutil.rmtree(shop)
        shutil.copytree(elsewhere / "shop", shop)
        new = _content(shop)
        for attempt in (CALLS[name], partial(in_a_thread, CALLS[name])):
            with pytest.raises(CatalogGone, match="Another folder is at") as caught:
                attempt(catalog, out)
            assert ("before" if kept else "was deleted") in str(caught.value)
        assert _content(shop) == new
    assert _content(shop) == new  # closing has not touched its log either
    if kept:
        with Catalog.open(tmp_path / "before") as old:
            assert old.verify().problems == []


def test_closing_a_catalog_that_was_replaced_leaves_the_log_of_the_new_one(shop: Path, tmp_path: Path) -> None:
    old = Catalog.open(shop)
    old.add_vectors(["old"], ROWS[:1])
    shop.rename(tmp_path / "before")
    with Catalog.create(shop, dim=4) as new:
        new.add_vectors(["new"], ROWS[:1])
        log = (shop / "records.sqlite-wal").stat()
        old.close()
        assert (shop / "records.sqlite-wal").stat().st_ino == log.st_ino
        new.add_vectors(["newer"], ROWS[1:2])
    with Catalog.open(shop) as again, Catalog.open(tmp_path / "before") as before:
        assert again.keys(["new", "newer"]) == ["new", "newer"]
        assert before.keys(["old"]) == ["old"]


def test_records_that_were_replaced_in_the_folder_are_not_written_to(shop: Path, made: Path) -> None:
    with Catalog.open(shop) as catalog:
        catalog.search(vector=ROWS[0])
        shutil.copy(made / "records.sqlite", shop / "new.sqlite")
        (shop / "new.sqlite").replace(shop / "records.sqlite")
        with pytest.raises(CatalogGone, match="deleted or replaced"):
            catalog.add_vectors(["x"], ROWS[:1])
        with pytest.raises(CatalogGone, match="deleted or replaced"):
            in_a_thread(catalog.count)


def test_a_link_is_followed_once(shop: Path, elsewhere: Path, tmp_path: Path) -> None:
    link = tmp_path / "current"
    link.symlink_to(shop)
    with Catalog.open(link) as catalog:
        link.unlink()
        link.symlink_to(elsewhere / "shop")
        in_a_thread(catalog.add_vectors, ["mine"], ROWS[:1])
        assert catalog.keys(["mine", "theirs"]) == ["mine"]


def test_a_folder_that_is_renamed_again_and_again_while_it_is_written_to_keeps_every_commit(
    shop: Path, tmp_path: Path
) -> None:
    with Catalog.open(shop) as catalog:
        place = shop
        for number in range(20):
            place = place.rename(tmp_path / f"place{number}")
            in_a_thread(catalog.add_vectors, [f"new{number}"], ROWS[:1])
            if number % 5 == 0:
                catalog.optimize()
            assert catalog.name == place.name
    with Catalog.open(place) as again:
        assert again.keys([f"new{number}" for number in range(20)]) == [f"new{number}" for number in range(20)]
        assert again.verify().problems == []


def test_a_folder_moved_to_a_name_that_ends_like_a_deleted_one_is_found(shop: Path, tmp_path: Path) -> None:
    folder = CatalogFolder.open(shop)
    moved = shop.rename(tmp_path / "shop (deleted)")
    assert folder.path == moved


def test_a_path_that_leads_nowhere_or_to_a_file_is_no_catalog(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "none", tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(CatalogNotFound):
            Catalog.open(path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", CALLS)
def test_every_call_of_a_closed_catalog_is_refused(shop: Path, tmp_path: Path, name: str) -> None:
    catalog = Catalog.open(shop)
    catalog.search(vector=ROWS[0])
    catalog.close()
    catalog.close()
    for attempt in (CALLS[name], partial(in_a_thread, CALLS[name])):
        with pytest.raises(UsageError, match="was closed"):
            attempt(catalog, tmp_path)


def read_until_refused(catalog: Catalog, said: list[str]) -> None:
    try:
        while True:
            catalog.get(["k1"])
    except LookalikeError as error:
        said.append(str(error))


def test_closing_while_another_thread_reads_gives_results_or_says_so(shop: Path) -> None:
    for _ in range(10):
        catalog = Catalog.open(shop)
        said: list[str] = []

        thread = threading.Thread(target=read_until_refused, args=(catalog, said))
        thread.start()
        while not thread.is_alive():
            os.sched_yield()
        catalog.close()
        thread.join()
        assert len(said) == 1 and "was closed" in said[0]

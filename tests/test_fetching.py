from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

import lookalike.retrieval.ingest.index_run
from lookalike import Catalog
from lookalike.data.errors import StorageFailed
from lookalike.data.feeds.feed import open_feed
from lookalike.data.fetch.settings import FetchSettings
from lookalike.data.item import Item, ItemImage
from lookalike.data.pictures.picture_sources import Address
from lookalike.retrieval.ingest.index_run import IndexReport, IndexRun
from lookalike.retrieval.ingest.item_pictures import PictureLoader
from lookalike.retrieval.ingest.loader import Loader
from lookalike.retrieval.ingest.worker_pool import Crew
from tests.fakes import ColourEncoder
from tests.running import call_json
from tests.test_fetch import png, silent
from tests.web_host import Asked, WebHost, answer, hosting, with_etag

OPEN = FetchSettings(allow_private=True, attempts=1)


@pytest.fixture
def host() -> Iterator[WebHost]:
    with hosting() as running:
        yield running


@pytest.fixture
def catalog(tmp_path: Path, encoder: ColourEncoder) -> Iterator[Catalog]:
    with Catalog.create(tmp_path / "shop", model="compact") as made:
        yield made


def write_feed(folder: Path, sources: dict[str, str]) -> Path:
    path = folder / "feed.csv"
    path.write_text("key,image\n" + "".join(f"{key},{source}\n" for key, source in sources.items()))
    return path


def run(catalog: Catalog, source: Path, settings: FetchSettings = OPEN, *, restart: bool = False) -> IndexReport:
    *_, report = IndexRun(catalog._core, open_feed(source), restart=restart, fetch=settings)
    return report


def test_a_feed_of_addresses_is_indexed_and_not_sent_again(
    host: WebHost, tmp_path: Path, encoder: ColourEncoder
) -> None:
    for number in range(4):
        host.answers[f"/{number}.png"] = with_etag(png(number), f'"{number}"')
    host.answers["/page.jpg"] = answer(b"<!doctype html><title>Sorry</title>")
    host.answers["/notes.jpg"] = answer(b"not a picture")
    names = ["0.png", "1.png", "gone.png", "page.jpg", "notes.jpg", "2.png|{}3.png"]
    prefix = host.url("/")
    feed = write_feed(tmp_path, {name[:4]: prefix + name.format(prefix) for name in names})
    first = call_json("index", tmp_path / "shop", feed, "--allow-private", "--fetch-per-host", 2)
    assert (first["added"], first["rejected"], first["fetched"]) == (3, 3, 5)
    assert first["fetched_bytes"] >= sum(len(png(number)) for number in range(4))
    assert [(one["row"], one["image"]) for one in first["rejects"]] == [
        (row, prefix + names[row - 1]) for row in (3, 4, 5)
    ]
    reasons = [one["reason"] for one in first["rejects"]]
    for reason, words in zip(reasons, ("404 (Not Found)", "a web page", "not a picture"), strict=True):
        assert words in reason
    assert host.most_at_once <= 2
    batches = list(encoder.batches)

    second = call_json("index", tmp_path / "shop", feed, "--allow-private", "--fetch-timeout", 20)
    assert (second["unchanged"], second["added"], second["rejected"]) == (3, 0, 3)
    assert second["fetched"] == 1  # the one without an ETag
    assert encoder.batches == batches

    closed = call_json("index", tmp_path / "shop", feed)
    assert (closed["unchanged"], closed["rejected"], closed["fetched"]) == (0, 7, 0)
    assert all("127.0.0.1 is an address of this machine" in one["reason"] for one in closed["rejects"])
    assert all("--allow-private" in one["reason"] for one in closed["rejects"])
    assert call_json("info", tmp_path / "shop")["items"] == 3
    assert call_json("verify", tmp_path / "shop")["problems"] == []
    call_json("backup", tmp_path / "shop", tmp_path / "backups")
    call_json("restore", tmp_path / "backups", tmp_path / "again")
    assert call_json("info", tmp_path / "again")["items"] == 3
    assert (tmp_path / "shop" / "fetched").is_dir()
    assert not (tmp_path / "again" / "fetched").exists()


def test_items_are_written_in_the_order_of_the_feed_however_long_each_takes(
    host: WebHost, catalog: Catalog, tmp_path: Path
) -> None:
    (tmp_path / "here.png").write_bytes(png(99))
    last = threading.Event()

    def first(connection: socket.socket, asked: Asked) -> bool:
        assert last.wait(10)  # the first answers after the last
        return answer(png(0))(connection, asked)

    def final(connection: socket.socket, asked: Asked) -> bool:
        last.set()
        return answer(png(49))(connection, asked)

    host.answers = {f"/{number}": answer(png(number)) for number in range(50)} | {"/0": first, "/49": final}
    sources = {f"k{number}": "here.png" if number % 7 == 3 else host.url(f"/{number}") for number in range(50)}
    report = run(catalog, write_feed(tmp_path, sources))
    assert report.added == 50
    assert [row.key for row in catalog._core.records.items()] == list(sources)


@dataclass
class CountedFeed:
    """As many items as asked for, all of one address, made one by one."""

    url: str
    count: int
    name: str = "counted"
    read: int = 0
    columns: dict[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Item]:
        for number in range(self.count):
            self.read += 1
            yield Item(f"k{number}", images=(ItemImage(self.url, Address(self.url)),), row=number + 1)


def test_the_feed_is_read_only_so_far_ahead(host: WebHost, catalog: Catalog) -> None:
    host.answers["/"] = answer(png())
    feed = CountedFeed(host.url("/"), 2000)
    pictures = PictureLoader(catalog._core, restart=False)
    with Crew((), 2) as crew:
        jobs = Loader(catalog._core, feed, pictures, restart=False, fetch=OPEN).jobs(crew)
        for taken, _ in enumerate((job for job in jobs if job is not None), start=1):
            assert feed.read - taken <= 256 + 96 + 1
    assert (taken, feed.read) == (2000, 2000)
    assert len(host.asked) <= 32  # one address, asked once by each thread at most


def test_what_is_there_is_written_while_a_host_is_waited_for(
    host: WebHost, catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookalike.retrieval.ingest.index_run, "_COMMIT_EVERY_S", 0.1)
    go_on = threading.Event()

    def waiting(connection: socket.socket, asked: Asked) -> bool:
        assert go_on.wait(10)
        return answer(png())(connection, asked)

    host.answers = {"/quick": answer(png(2)), "/": waiting}
    feed = open_feed(write_feed(tmp_path, {"a": host.url("/quick"), "b": host.url("/")}))
    indexing = IndexRun(catalog._core, feed, fetch=OPEN)
    for _ in indexing:
        if catalog._core.records.items_of_keys(["a"]):
            go_on.set()
    assert go_on.is_set()
    assert (indexing.report.added, indexing.report.fetched.fetched) == (2, 2)


def test_a_run_that_is_broken_off_ends_at_once(host: WebHost, catalog: Catalog, tmp_path: Path) -> None:
    host.answers["/"] = silent
    reports = iter(IndexRun(catalog._core, open_feed(write_feed(tmp_path, {"a": host.url("/")})), fetch=OPEN))
    next(reports)
    started = time.monotonic()
    cast(Any, reports).close()
    assert time.monotonic() - started < 2


def test_all_is_encoded_anew_without_being_sent_again(
    host: WebHost, catalog: Catalog, tmp_path: Path, encoder: ColourEncoder
) -> None:
    host.answers = {f"/{number}": with_etag(png(number), f'"{number}"') for number in range(3)}
    feed = write_feed(tmp_path, {f"k{number}": host.url(f"/{number}") for number in range(3)})
    assert run(catalog, feed).encoded == 3
    again = run(catalog, feed, restart=True)
    assert (again.updated, again.encoded, again.fetched.fetched, again.fetched.unchanged) == (3, 3, 0, 3)


def test_what_is_indexed_needs_no_file_any_more(host: WebHost, catalog: Catalog, tmp_path: Path) -> None:
    host.answers = {f"/{number}": with_etag(png(number), f'"{number}"') for number in range(3)}
    feed = write_feed(tmp_path, {f"k{number}": host.url(f"/{number}") for number in range(3)})
    frugal = replace(OPEN, cache_bytes=0)
    assert run(catalog, feed, frugal).added == 3
    assert not [path for path in (catalog._core.fetched_folder / "pictures").rglob("*") if path.is_file()]
    again = run(catalog, feed, frugal)
    assert (again.unchanged, again.fetched.bytes, again.fetched.unchanged) == (3, 0, 3)
    anew = run(catalog, feed, frugal, restart=True)
    assert (anew.updated, anew.fetched.fetched) == (3, 3)


def test_a_kept_picture_that_was_damaged_is_rejected_once_and_fetched_the_next_time(
    host: WebHost, catalog: Catalog, tmp_path: Path
) -> None:
    host.answers["/"] = with_etag(png(), '"v"')
    feed = write_feed(tmp_path, {"a": host.url("/")})
    run(catalog, feed)
    (kept,) = (path for path in (catalog._core.fetched_folder / "pictures").rglob("*") if path.is_file())
    kept.write_bytes(b"rubbish")
    (reject,) = run(catalog, feed, restart=True).rejects
    assert "not on disk any more; run this again" in reject.reason
    report = run(catalog, feed, restart=True)
    assert (report.updated, report.fetched.fetched, report.rejects) == (1, 1, [])


def test_a_folder_that_cannot_be_written_to_ends_the_run_with_a_sentence(
    host: WebHost, catalog: Catalog, tmp_path: Path
) -> None:
    host.answers["/"] = answer(png())
    catalog._core.fetched_folder.write_text("in the way")
    with pytest.raises(StorageFailed, match="fetched cannot be written to"):
        run(catalog, write_feed(tmp_path, {"a": host.url("/")}))

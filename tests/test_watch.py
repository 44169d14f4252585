"""Watching, in short; `python -m tests.test_watch 30` does the random loop for 30 minutes and shows the memory."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lookalike.retrieval.core
from lookalike import Catalog
from lookalike.data.errors import FeedError, NotAPicture
from lookalike.data.feeds.feed import open_feed
from lookalike.data.feeds.source_files import Mark, Sighting, look_at_files, look_at_folder
from lookalike.data.pictures.image_decoder import decode
from lookalike.retrieval.bench.memory import Memory
from lookalike.retrieval.ingest.file_events import Waker
from lookalike.retrieval.ingest.index_run import IndexRun
from lookalike.retrieval.ingest.settled_files import Changes, Settling
from lookalike.retrieval.ingest.watch import Look, Watch
from tests.fakes import ColourEncoder

DEADLINE_S = 60.0


def picture(seed: int) -> bytes:
    pixels = np.kron(np.random.default_rng(seed).integers(0, 256, (2, 2, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


# --- deciding ------------------------------------------------------------------------------------------------------


def seen(*unclear: bytes, **files: int) -> Sighting:
    return Sighting({name.encode(): (version, 0, 0, 0) for name, version in files.items()}, unclear)


def settled(count: int) -> Settling:
    settling = Settling(settle_s=1, missing_s=2)
    settling.know(seen(**{f"f{number}": 1 for number in range(count)}), before_ns=1)
    return settling


def test_a_file_is_ready_when_it_stays_the_same_for_a_while() -> None:
    settling = settled(1)
    assert settling.look(seen(f0=1), 0) == Changes()
    assert settling.look(seen(f0=1, new=1), 1) == Changes(unsettled=1)
    assert settling.look(seen(f0=1, new=2), 1.9) == Changes(unsettled=1)
    assert settling.look(seen(f0=1, new=2), 2.8) == Changes(unsettled=1)
    assert settling.look(seen(f0=1, new=2), 2.9) == Changes(ready=(b"new",))
    assert settling.look(seen(f0=1, new=2), 3) == Changes(ready=(b"new",))  # until it is done
    settling.done(read=[b"new"])
    assert settling.look(seen(f0=1, new=2), 4) == Changes()
    assert settling.look(seen(f0=1, new=1), 5) == Changes(unsettled=1)
    assert settling.look(seen(f0=1), 6) == Changes(unsettled=1)
    assert settling.count == 2


def test_a_file_is_gone_when_it_stays_away_for_longer() -> None:
    settling = settled(3)
    assert settling.look(seen(f0=1, f1=1), 0) == Changes(unsettled=1)
    assert settling.look(seen(f0=1, f1=1), 1.9) == Changes(unsettled=1)
    assert settling.look(seen(f0=1, f1=1, f2=1), 1.95) == Changes()
    assert settling.look(seen(f0=1, f1=1), 2) == Changes(unsettled=1)
    assert settling.look(seen(f0=1, f1=1), 4) == Changes(gone=(b"f2",))
    settling.done(removed=[b"f2"])
    assert settling.look(seen(f0=1, f1=1), 5) == Changes()
    assert settling.count == 2


def test_files_in_a_folder_that_cannot_be_listed_are_not_gone() -> None:
    settling = Settling(settle_s=1, missing_s=2)
    settling.know(Sighting(dict.fromkeys((b"a/1", b"ab", b"c", b"d/2"), (1, 0, 0, 0))), before_ns=1)
    there = Sighting({b"c": (1, 0, 0, 0)}, (b"a", b"d/2"))
    settling.look(there, 0)
    assert settling.look(there, 9) == Changes(gone=(b"ab",))


@pytest.mark.parametrize(("count", "left", "held"), [(40, 20, 0), (40, 19, 21), (10, 1, 0), (10, 0, 10), (1, 0, 1)])
def test_more_than_half_at_once_is_held(count: int, left: int, held: int) -> None:
    settling = settled(count)
    rest = seen(**{f"f{number}": 1 for number in range(left)})
    settling.look(rest, 0)
    changes = settling.look(rest, 5)
    assert (changes.held, len(changes.gone)) == (held, 0 if held else count - left)
    assert settling.look(seen(**{f"f{number}": 1 for number in range(count)}), 6) == Changes()


def test_a_file_that_was_changed_while_it_was_first_read_is_read_again() -> None:
    settling = Settling(settle_s=1, missing_s=2)
    sighting = Sighting({b"old": (1, 5, 5, 0), b"young": (1, 5, 10, 0)})
    settling.know(sighting, before_ns=10)
    assert settling.look(sighting, 0) == Changes(unsettled=1)
    assert settling.look(sighting, 1) == Changes(ready=(b"young",))


def test_a_look_at_a_folder_sees_what_a_feed_would_take(tmp_path: Path) -> None:
    for name in ("a.png", "b/c.png", ".hidden/d.png", "b/.e.png", "shop/catalog.json", "shop/records.sqlite"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"12345")
    (tmp_path / "link.png").symlink_to("nothing")
    sighting = look_at_folder(tmp_path)
    assert sorted(sighting.files) == [b"a.png", b"b/c.png", b"link.png"]
    assert sighting.files[b"a.png"][0] == 5
    assert {item.key for item in open_feed(tmp_path)} == {name.decode() for name in sighting.files}
    before: Mark = sighting.files[b"a.png"]
    os.utime(tmp_path / "a.png", ns=(1, 1))
    assert look_at_folder(tmp_path).files[b"a.png"] != before
    with pytest.raises(FeedError, match="cannot be listed"):
        look_at_folder(tmp_path / "gone")
    assert look_at_files([tmp_path / "a.png", tmp_path / "gone"]).files.keys() == {os.fsencode(tmp_path / "a.png")}


def test_waiting_ends_when_something_happens_and_otherwise_in_time(tmp_path: Path) -> None:
    stop = threading.Event()
    with Waker(tmp_path / "f", recursive=True, matters=lambda path: "/." not in path, stop=stop) as waker:
        assert not waker.wait(0.3)  # the folder is not there
        assert not waker.is_told
        (tmp_path / "f" / "deep").mkdir(parents=True)
        assert not waker.wait(0.3)
        assert waker.is_told
        (tmp_path / "f" / ".hidden").touch()
        assert not waker.wait(0.5)
        (tmp_path / "f" / "deep" / "x").touch()
        assert waker.wait(DEADLINE_S)
        (tmp_path / "f").rename(tmp_path / "g")
        (tmp_path / "f").mkdir()
        assert not waker.wait(0.3) or not waker.wait(0.3)  # of the move itself it may tell
        (tmp_path / "f" / "y").touch()  # in the new one
        assert waker.wait(DEADLINE_S)
        threading.Timer(0.2, stop.set).start()
        started = time.monotonic()
        assert not waker.wait(DEADLINE_S)
        assert time.monotonic() - started < DEADLINE_S / 2


# --- watching ------------------------------------------------------------------------------------------------------


class Watched:
    """A catalog kept in step with a source in a thread of its own."""

    def __init__(self, shop: Path, source: Path, settle_s: float = 0.15, missing_s: float = 0.4) -> None:
        self.shop = shop
        self.looks: list[Look] = []
        self.failure: BaseException | None = None
        self._source = source
        self._times = settle_s, missing_s
        self._stop = threading.Event()
        self._first_done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        settle_s, missing_s = self._times
        try:
            with Catalog.open(self.shop) as catalog:
                watch = Watch(
                    catalog._core,
                    self._source,
                    lambda: open_feed(self._source, types=catalog._core.records.schema()),
                    stop=self._stop,
                    settle_s=settle_s,
                    missing_s=missing_s,
                )
                for _ in IndexRun(catalog._core, watch.feed):
                    pass
                self._first_done.set()
                self.looks.extend(watch)
        except BaseException as error:
            self.failure = error
            raise
        finally:
            self._first_done.set()

    def __enter__(self) -> Watched:
        self._thread.start()
        self._first_done.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def state(self) -> dict[str, str]:
        """The hash of the only picture of each item, by key."""
        with Catalog.open(self.shop) as catalog, catalog._core.records.snapshot():
            rows = catalog._core.records.items()
            images = catalog._core.records.images([row.id for row in rows])
            return {row.key: images[row.id][0].sha256.hex() for row in rows}

    def until(self, reached: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not reached():
            assert self.failure is None
            assert time.monotonic() < deadline, (what, self.looks[-3:])
            time.sleep(0.05)


@pytest.fixture
def shop(tmp_path: Path, encoder: ColourEncoder) -> Path:
    with Catalog.create(tmp_path / "shop", model="compact"):
        return tmp_path / "shop"


def expected(folder: Path) -> tuple[dict[str, str], set[str]]:
    """What a catalog of a folder should have: the hashes of its pictures by key, and the keys of what is none."""
    good, bad = {}, set()
    for path in folder.rglob("*"):
        if path.is_file():
            key, content = str(path.relative_to(folder)), path.read_bytes()
            try:
                decode(content)
                good[key] = hashlib.sha256(content).hexdigest()
            except NotAPicture:
                bad.add(key)
    return good, bad


def test_what_comes_changes_moves_and_goes_is_followed(shop: Path, tmp_path: Path, encoder: ColourEncoder) -> None:
    folder = tmp_path / "pictures"
    (folder / "a").mkdir(parents=True)
    for number in range(6):
        (folder / f"{number}.png").write_bytes(picture(number))
    with Watched(shop, folder) as watched:
        assert watched.state() == expected(folder)[0]
        (folder / "a" / "new.png").write_bytes(picture(10))
        (folder / "0.png").write_bytes(picture(11))
        (folder / "1.png").rename(folder / "a" / "moved.png")
        (folder / "2.png").unlink()
        (folder / "no.png").write_text("no picture")
        watched.until(lambda: watched.state() == expected(folder)[0], "the folder")
        assert sum(encoder.batches) == 8  # the moved one not again
        watched.until(lambda: rejected(shop) == {"no.png"}, "the rejects")
        (folder / "no.png").unlink()
        (folder / "bad.png").write_text("no picture either")
        watched.until(lambda: rejected(shop) == {"bad.png"}, "the rejects")
        assert "1.png" not in watched.state()


def rejected(shop: Path) -> set[str]:
    with Catalog.open(shop) as catalog:
        return {one.key or "" for one in catalog.ledger(state="rejected")}


def test_a_folder_that_is_away_for_a_moment_takes_nothing_along(shop: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number:02}.png").write_bytes(picture(number))
    with Watched(shop, folder) as watched:
        before = watched.state()
        folder.rename(tmp_path / "away")
        watched.until(lambda: troubled(watched, "cannot be listed"), "it says so")
        folder.mkdir()  # a drive that is not mounted is an empty folder
        watched.until(lambda: troubled(watched, "30 of 30 files are missing at once"), "it says so")
        (folder / "other.png").write_bytes(picture(77))
        watched.until(lambda: len(watched.state()) == 31, "what comes is taken")
        assert watched.state().items() >= before.items()
        (folder / "other.png").unlink()
        folder.rmdir()
        (tmp_path / "away").rename(folder)
        watched.until(lambda: watched.state() == before == expected(folder)[0], "it is as before")
        watched.until(lambda: watched.looks[-1].trouble is None, "no trouble left")
        for number in range(16):
            (folder / f"{number:02}.png").unlink()
        watched.until(lambda: troubled(watched, "16 of 30 files"), "it says so")
        assert watched.state() == before
        (folder / "03.png").write_bytes(picture(3))
        watched.until(lambda: len(watched.state()) == 15, "half of them are believed")
    assert [look.trouble is None for look in watched.looks[-2:]][-1]


def troubled(watched: Watched, words: str) -> bool:
    return bool(watched.looks) and words in (watched.looks[-1].trouble or "")


def test_a_feed_that_is_rewritten_is_read_again(shop: Path, tmp_path: Path, encoder: ColourEncoder) -> None:
    for number in range(5):
        (tmp_path / f"{number}.png").write_bytes(picture(number))
    feed = tmp_path / "feed.csv"
    feed.write_text("key,image,price\na,0.png,1\nb,1.png,2\nc,2.png,3\n")
    with Watched(shop, feed) as watched:
        assert watched.state().keys() == {"a", "b", "c"}
        (tmp_path / "feed.new").write_text("key,image,price\na,0.png,9\nc,2.png,3\nd,3.png,4\n")
        (tmp_path / "feed.new").replace(feed)
        watched.until(lambda: watched.state().keys() == {"a", "c", "d"}, "the rows")
        assert sum(encoder.batches) == 4
        feed.write_text("nonsense\n")
        watched.until(lambda: troubled(watched, "no column for the key"), "it says so")
        feed.unlink()
        watched.until(lambda: troubled(watched, "missing at once"), "it says so")
        assert watched.state().keys() == {"a", "c", "d"}
        feed.write_text("key,image,price\na,0.png,9\ne,4.png,5\n")
        watched.until(lambda: watched.state().keys() == {"a", "e"}, "the rows")
        feed.write_text("key,image,price\n")
        watched.until(lambda: troubled(watched, "2 of 2 items"), "it says so")
        assert watched.state().keys() == {"a", "e"}


def test_what_another_feed_has_too_is_not_removed(shop: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.png").write_bytes(picture(number))
    with Watched(shop, folder) as watched:
        (tmp_path / "feed.csv").write_text("key,image\n0.png,pictures/0.png\n")
        with Catalog.open(shop) as other:
            for _ in IndexRun(other._core, open_feed(tmp_path / "feed.csv")):
                pass
        (folder / "0.png").unlink()
        (folder / "1.png").unlink()
        watched.until(lambda: watched.state().keys() == {"0.png", "2.png", "3.png", "4.png"}, "one of them")
        watched.until(lambda: watched.looks[-1].files == 3, "both are known to be gone")
        assert "0.png" in watched.state()


def test_another_writer_only_delays_it(shop: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "0.png").write_bytes(picture(0))
    with Watched(shop, folder) as watched, Catalog.open(shop) as other:
        with other._core.writer():
            (folder / "1.png").write_bytes(picture(1))
            watched.until(lambda: troubled(watched, "It is tried again"), "it says so")
        watched.until(lambda: watched.state() == expected(folder)[0], "the folder")


# --- a random loop -------------------------------------------------------------------------------------------------


class Disturber:
    """Does to a folder what people and programs do; the same things for the same seed."""

    def __init__(self, folder: Path, seed: int, most_files: int) -> None:
        self._folder = folder
        self._random = random.Random(seed)
        self._most = most_files
        self._names = (f"{number:05}" for number in itertools.count())
        self._half_written: list[tuple[Path, bytes]] = []
        self.done = 0

    def step(self) -> None:
        """Do one thing."""
        actions = [self._add, self._add, self._add_slowly, self._change, self._move, self._remove, self._replace]
        rare = [self._move_folder, self._remove_folder, self._burst, self._junk, self._copy, self._touch, self._break]
        if len(self._files()) > self._most:
            actions = [self._remove]
        self._random.choice(actions if self._random.random() < 0.8 else rare)()
        if self._random.random() < 0.4:
            self._finish_one()
        self.done += 1

    def end(self) -> None:
        """Finish what is half written, mend what is broken, but leave what never was a picture."""
        while self._half_written:
            self._finish_one()
        for path in self._files():
            if not path.name.startswith("junk"):
                try:
                    decode(path.read_bytes())
                except NotAPicture:
                    path.write_bytes(self._picture())

    def _files(self) -> list[Path]:
        return sorted(path for path in self._folder.rglob("*") if path.is_file())

    def _any(self) -> Path | None:
        files = [path for path in self._files() if not path.name.startswith("junk")]
        return self._random.choice(files) if files else None

    def _picture(self) -> bytes:
        return picture(self._random.randrange(10**6))

    def _new(self, name: str = "p") -> Path:
        folder = self._folder / self._random.choice(["", "a", "b", "c/d", "c/e"])
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{name}{next(self._names)}.png"

    def _add(self) -> None:
        self._new().write_bytes(self._picture())

    def _add_slowly(self) -> None:
        path, content = self._new(), self._picture()
        path.write_bytes(content[: len(content) // 2])
        self._half_written.append((path, content))

    def _finish_one(self) -> None:
        if self._half_written:
            path, content = self._half_written.pop(0)
            if path.exists():
                path.write_bytes(content)

    def _change(self) -> None:
        if path := self._any():
            path.write_bytes(self._picture())

    def _replace(self) -> None:
        if path := self._any():
            beside = path.with_name(f".{path.name}.tmp")
            beside.write_bytes(self._picture())
            beside.replace(path)

    def _move(self) -> None:
        if path := self._any():
            path.rename(self._new())

    def _remove(self) -> None:
        if path := self._any():
            path.unlink()

    def _break(self) -> None:
        if path := self._any():
            path.write_bytes(path.read_bytes()[: self._random.randrange(30)])

    def _junk(self) -> None:
        self._new("junk").write_bytes(b"no picture")

    def _copy(self) -> None:
        if path := self._any():
            self._new().write_bytes(path.read_bytes())

    def _touch(self) -> None:
        if path := self._any():
            path.touch()

    def _burst(self) -> None:
        for _ in range(30):
            self._add()

    def _move_folder(self) -> None:
        folders = sorted(path for path in self._folder.rglob("*") if path.is_dir())
        if folders:
            self._random.choice(folders).rename(self._folder / f"moved{next(self._names)}")

    def _remove_folder(self) -> None:
        folders = sorted(path for path in self._folder.glob("moved*") if path.is_dir())
        if folders:
            for path in sorted(folders[0].rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            folders[0].rmdir()


def disturbed(shop: Path, folder: Path, seconds: float, pause_s: float, seed: int, told: Callable[[str], None]) -> None:
    """Watch a folder that is disturbed for so long; in the end the catalog has exactly what is in the folder."""
    folder.mkdir()
    disturber = Disturber(folder, seed, most_files=400)
    for _ in range(50):
        disturber.step()
    ends = time.monotonic() + seconds
    minute = time.monotonic()
    sizes: list[float] = []
    with Watched(shop, folder) as watched:
        pauses = random.Random(seed)
        while time.monotonic() < ends:
            disturber.step()
            time.sleep(pauses.expovariate(1 / pause_s))
            assert watched.failure is None
            if time.monotonic() - minute > 60:
                minute = time.monotonic()
                sizes.append(Memory.now().anonymous / 1e6)
                told(f"{disturber.done} steps, {len(watched.looks)} looks, {sizes[-1]:.0f} MB")
        disturber.end()
        watched.until(lambda: watched.state() == expected(folder)[0], "the folder")
        watched.until(lambda: rejected(shop) == expected(folder)[1], "the rejects")
    good, bad = expected(folder)
    assert good
    assert all(Path(name).name.startswith("junk") for name in bad)
    if len(sizes) >= 10:
        assert max(sizes[-3:]) < 1.1 * max(sizes[2:5]) + 10, sizes
    removed = sum(look.removed for look in watched.looks)
    told(f"{disturber.done} steps, {len(good)} pictures and {len(bad)} others left, {removed} removed on the way")


def test_after_a_random_loop_the_catalog_is_the_folder(shop: Path, tmp_path: Path) -> None:
    disturbed(shop, tmp_path / "pictures", seconds=10, pause_s=0.03, seed=7, told=lambda line: None)


def main(minutes: float) -> None:
    """Run the loop for long."""
    lookalike.retrieval.core.load_encoder = lambda name, **_: ColourEncoder()  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as folder:
        with Catalog.create(Path(folder) / "shop", model="compact"):
            pass
        disturbed(
            Path(folder) / "shop",
            Path(folder) / "pictures",
            seconds=minutes * 60,
            pause_s=0.25,
            seed=int(minutes * 1000),
            told=lambda line: print(line, flush=True),  # noqa: T201
        )


if __name__ == "__main__":
    main(float(sys.argv[1]))

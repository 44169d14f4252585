from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from lookalike import Catalog
from lookalike.data.pictures.video import scenes
from lookalike.retrieval.ingest.index_run import IndexReport
from lookalike.retrieval.maintenance.repair import repair
from lookalike.retrieval.maintenance.verification import ProblemKind, verify
from lookalike.ui.page.cards import CardFields, cards_html
from lookalike.ui.page.clock import clock_of
from lookalike.ui.page.item_view import item_html
from tests.fakes import ColourEncoder
from tests.running import call, run
from tests.test_raw import dng
from tests.videos import NAMES, sample_picture, write_video

SHOTS = [(sample_picture(name), seconds) for name, seconds in zip(NAMES, (3.0, 4.0, 2.0), strict=True)]
FRAMES = ["clip.mp4#t=0", "clip.mp4#t=3", "clip.mp4#t=7"]


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_video(tmp_path_factory.mktemp("clips") / "clip.mp4", SHOTS).read_bytes()


@pytest.fixture
def source(tmp_path: Path, content: bytes) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "clip.mp4").write_bytes(content)
    SHOTS[0][0].save(folder / "photo.png")
    return folder


@pytest.fixture
def catalog(tmp_path: Path, encoder: ColourEncoder) -> Iterator[Catalog]:
    with Catalog.create(tmp_path / "shop", model="compact") as made:
        yield made


def counts(report: IndexReport) -> tuple[int, int, int, int, int]:
    return report.added, report.updated, report.unchanged, len(report.rejects), report.encoded


def test_a_video_is_an_item_whose_pictures_are_frames(catalog: Catalog, source: Path, encoder: ColourEncoder) -> None:
    assert counts(run(catalog, source)) == (2, 0, 0, 0, 4)
    (item,) = catalog.get(["clip.mp4"])
    assert item.title == "clip"
    assert [image.source for image in item.images] == FRAMES
    assert {(image.width, image.height) for image in item.images} == {(320, 240)}
    assert len({image.sha256 for image in item.images}) == 3
    expected = encoder.encode_images([frame.rgb for frame in scenes(source / "clip.mp4")])
    (row,) = catalog._core.records.items_of_keys(["clip.mp4"]).values()
    assert np.allclose(catalog._core.newest.state().vectors_of("image", row.id), expected, atol=1e-3)
    for image, (shot, _) in zip(item.images, SHOTS, strict=True):
        thumbnail = catalog._core.thumbnails.path(image.sha256.hex())
        assert thumbnail is not None
        with Image.open(thumbnail) as small:
            assert np.abs(np.asarray(small.convert("RGB")).astype(int) - np.asarray(shot)).mean() < 8


def test_a_hit_says_the_second(catalog: Catalog, source: Path, tmp_path: Path) -> None:
    run(catalog, source)
    for (picture, _), frame in zip(SHOTS, FRAMES, strict=True):
        hits = list(catalog.search(image=picture, limit=2))
        hit = next(hit for hit in hits if hit.key == "clip.mp4")
        assert hit.image == frame
        assert hit.score == pytest.approx(1.0, abs=0.01)
    shown = cards_html([hit], CardFields(), scored=True)
    assert '<span class="moment">0:07</span>' in shown
    assert 'aria-label="clip, at 0:07"' in shown
    assert "clip.mp4 at 0:00" in call("search", tmp_path / "shop", "--like", "photo.png")


def test_a_video_whose_bytes_are_known_is_not_decoded(
    catalog: Catalog, source: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(catalog, source)
    encoded = sum(encoder.batches)
    monkeypatch.setitem(sys.modules, "av", None)  # without PyAV nothing can be decoded
    assert counts(run(catalog, source)) == (0, 0, 2, 0, 0)
    feed = source / "feed.csv"
    feed.write_text("key,image,price\nclip.mp4,clip.mp4,5\n")
    assert counts(run(catalog, feed)) == (0, 1, 0, 0, 0)
    (source / "clip.mp4").rename(source / "moved.mp4")
    feed.write_text("key,image,price\nclip.mp4,moved.mp4,5\n")
    assert counts(run(catalog, feed)) == (0, 1, 0, 0, 0)
    assert sum(encoder.batches) == encoded
    (item,) = catalog.get(["clip.mp4"])
    assert [image.source for image in item.images] == [name.replace("clip", "moved") for name in FRAMES]
    report = run(catalog, feed, restart=True)
    assert [one.reason.split(". ")[0] for one in report.rejects] == ["Videos need an extra that is not installed"]


def test_changed_bytes_are_looked_at_again(catalog: Catalog, source: Path) -> None:
    run(catalog, source)
    write_video(source / "clip.mp4", SHOTS[1:])
    assert counts(run(catalog, source)) == (0, 1, 1, 0, 2)
    (item,) = catalog.get(["clip.mp4"])
    assert [image.source for image in item.images] == ["clip.mp4#t=0", "clip.mp4#t=4"]


def test_the_same_video_under_another_key_is_not_encoded_again(catalog: Catalog, source: Path) -> None:
    run(catalog, source)
    (source / "copy.mp4").write_bytes((source / "clip.mp4").read_bytes())
    assert counts(run(catalog, source)) == (1, 0, 2, 0, 0)
    one, other = catalog.get(["clip.mp4", "copy.mp4"])
    assert [image.sha256 for image in one.images] == [image.sha256 for image in other.images]


def test_an_item_may_have_pictures_and_videos_and_a_bad_one_is_said(catalog: Catalog, source: Path) -> None:
    (source / "broken.mp4").write_bytes((source / "clip.mp4").read_bytes()[:5000])
    feed = source / "feed.csv"
    feed.write_text("key,image\na,photo.png|clip.mp4|broken.mp4|clip.mp4\nb,broken.mp4\n")
    report = run(catalog, feed)
    assert counts(report)[:3] == (1, 0, 0)
    assert [(one.key, one.source) for one in report.rejects] == [("a", "broken.mp4"), ("b", "broken.mp4")]
    assert all("The video is damaged" in one.reason for one in report.rejects)
    (item,) = catalog.get(["a"])
    assert [image.source for image in item.images] == ["photo.png", *FRAMES]
    assert counts(run(catalog, feed))[:3] == (0, 0, 1)


def test_thumbnails_of_frames_are_made_again_from_their_video(catalog: Catalog, source: Path, tmp_path: Path) -> None:
    run(catalog, source)
    before = {path: path.read_bytes() for path in (tmp_path / "shop" / "thumbnails").glob("*/*.webp")}
    assert len(before) == 4
    for path in before:
        path.unlink()
    assert {problem.kind for problem in verify(tmp_path / "shop").problems} == {ProblemKind.THUMBNAIL}
    report = repair(tmp_path / "shop", pictures=source)
    assert report.mended == ["Rebuilt 4 thumbnails."]
    assert {path: path.read_bytes() for path in (tmp_path / "shop" / "thumbnails").glob("*/*.webp")} == before


def test_the_items_window_says_when_each_frame_is(catalog: Catalog, source: Path) -> None:
    run(catalog, source)
    (item,) = catalog.get(["clip.mp4"])
    pictures = [(image.sha256.hex(), clock_of(image.source)) for image in item.images]
    window = item_html(item, CardFields(), pictures)
    assert window.count('<span class="moment">0:00</span>') == 2  # on the large picture, and on its choice
    assert 'aria-label="Picture 3 of 3, at 0:07"' in window
    assert "moment" not in item_html(item, CardFields(), [(pictures[0][0], None)])


@pytest.mark.parametrize(
    ("source", "clock"),
    [("a.mp4#t=0", "0:00"), ("a.mp4#t=59.999", "0:59"), ("a.mp4#t=754.2", "12:34"), ("a.mp4#t=3723", "1:02:03")],
)
def test_the_clock_is_written_as_players_do(source: str, clock: str) -> None:
    assert clock_of(source) == clock
    assert clock_of("a.png") is clock_of(None) is None


def test_a_folder_of_all_formats_is_indexed_and_searched(catalog: Catalog, source: Path) -> None:
    colours = {"red": (220, 20, 20), "green": (20, 200, 40), "blue": (20, 30, 220), "purple": (200, 20, 210)}
    pillow_heif.from_pillow(Image.new("RGB", (64, 64), colours["red"])).save(source / "red.heic")
    square = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9" fill="{}"/></svg>'
    (source / "green.svg").write_text(square.format("#14c828"))
    light = np.full((128, 128, 3), (0.01, 0.02, 0.7))
    (source / "blue.dng").write_bytes(dng(light))
    Image.new("RGB", (64, 64), colours["purple"]).save(source / "purple.avif")
    assert counts(run(catalog, source)) == (6, 0, 0, 0, 8)
    for name, key in (("red", "red.heic"), ("green", "green.svg"), ("blue", "blue.dng"), ("purple", "purple.avif")):
        assert catalog.search(image=Image.new("RGB", (32, 32), colours[name]), limit=1).keys == [key]
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (64, 64), colours["red"])).save(buffer)
    for query, key in ((buffer.getvalue(), "red.heic"), (square.format("#14c828").encode(), "green.svg")):
        assert catalog.search(image=query, limit=1).keys == [key]

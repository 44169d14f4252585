from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike import Catalog
from lookalike.data.errors import ItemNotFound, UsageError
from lookalike.data.feeds.feed import open_feed
from lookalike.data.pictures.image_decoder import decode
from lookalike.models import unit_rows
from lookalike.retrieval.ingest.index_run import IndexReport, IndexRun
from tests.fakes import ColourEncoder
from tests.running import run

RANDOM = np.random.default_rng(13)


def picture(path: Path, seed: int, kind: str = "PNG") -> bytes:
    pixels = np.kron(np.random.default_rng(seed).integers(0, 256, (2, 2, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, kind)
    return path.read_bytes()


def counts(report: IndexReport) -> tuple[int, int, int, int, int]:
    return report.added, report.updated, report.unchanged, report.rejected, report.encoded


@pytest.fixture
def catalog(tmp_path: Path, encoder: ColourEncoder) -> Iterator[Catalog]:
    with Catalog.create(tmp_path / "shop", model="compact") as made:
        yield made


def write_feed(folder: Path, rows: list[str]) -> Path:
    path = folder / "feed.csv"
    path.write_text("key,image,title,price\n" + "\n".join(rows) + "\n")
    return path


def test_what_is_stored_is_what_the_encoder_made(catalog: Catalog, tmp_path: Path, encoder: ColourEncoder) -> None:
    content = [picture(tmp_path / f"{number}.png", number) for number in range(70)]
    feed = write_feed(tmp_path, [f"k{number},{number}.png,red {number},{number}.5" for number in range(70)])
    assert counts(run(catalog, feed)) == (70, 0, 0, 0, 70)
    assert max(encoder.batches) <= 40
    expected = encoder.encode_images([decode(one).rgb for one in content])
    view = catalog._core.newest.state()
    for number, row in enumerate(catalog._core.records.items()):
        assert np.allclose(view.vectors_of("image", row.id)[0], expected[number], atol=1e-3)
        assert row.key == f"k{number}"
    (item,) = catalog.get(["k7"])
    assert (item.title, item.fields, item.images[0].source) == ("red 7", {"price": 7.5}, "7.png")
    assert (item.images[0].width, item.images[0].height) == (16, 16)
    thumbnail = catalog._core.thumbnails.path(item.images[0].sha256.hex())
    assert thumbnail is not None
    with Image.open(thumbnail) as small:
        assert small.size == (16, 16)


def test_running_again_encodes_only_what_is_new(catalog: Catalog, tmp_path: Path, encoder: ColourEncoder) -> None:
    for number in range(5):
        picture(tmp_path / f"{number}.png", number)
    rows = [f"k{number},{number}.png,t,1" for number in range(4)]
    assert counts(run(catalog, write_feed(tmp_path, rows))) == (4, 0, 0, 0, 4)
    assert counts(run(catalog, write_feed(tmp_path, rows))) == (0, 0, 4, 0, 0)
    texts = len(encoder.texts)
    assert counts(run(catalog, write_feed(tmp_path, ["k0,0.png,t,99.5", *rows[1:], "k4,4.png,t,1"]))) == (1, 1, 3, 0, 1)
    assert len(encoder.texts) == texts + 1
    assert catalog.get(["k0"])[0].fields == {"price": 99.5}
    picture(tmp_path / "1.png", 77)
    assert counts(run(catalog, write_feed(tmp_path, rows))) == (0, 2, 2, 0, 1)
    assert counts(run(catalog, write_feed(tmp_path, rows), restart=True)) == (0, 4, 0, 0, 4)
    assert catalog.info().vectors == 5


def test_a_picture_the_catalog_knows_under_another_key_is_not_encoded_again(catalog: Catalog, tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 1)
    run(catalog, write_feed(tmp_path, ["old,a.png,t,1"]))
    assert counts(run(catalog, write_feed(tmp_path, ["new,a.png,t,1"]))) == (1, 0, 0, 0, 0)
    view = catalog._core.newest.state()
    old, new = (catalog._core.records.items_of_keys([key])[key].id for key in ("old", "new"))
    assert np.array_equal(view.vectors_of("image", old), view.vectors_of("image", new))


def test_an_item_has_several_pictures_and_is_one_hit(catalog: Catalog, tmp_path: Path, encoder: ColourEncoder) -> None:
    for number in range(6):
        picture(tmp_path / f"{number}.png", number)
    run(catalog, write_feed(tmp_path, ["a,0.png|1.png|2.png,t,1", "b,3.png|4.png,t,1", "c,5.png,t,1"]))
    assert catalog.info().vectors == 6
    for number, key in enumerate("aaabbc"):
        results = catalog.search(image=tmp_path / f"{number}.png", limit=3)
        assert results.keys[0] == key
        assert results[0].image == f"{number}.png"
        assert results[0].score == pytest.approx(1, abs=2e-3)
        assert len(set(results.keys)) == 3
    run(catalog, write_feed(tmp_path, ["a,2.png|0.png,t,1"]))
    assert [image.source for image in catalog.get(["a"])[0].images] == ["2.png", "0.png"]
    assert catalog.info().vectors == 5


def test_the_first_picture_is_the_feeds_first_also_after_a_change(catalog: Catalog, tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / f"{number}.png", number)
    for images in ("0.png|1.png", "1.png|0.png", "2.png|0.png"):
        run(catalog, write_feed(tmp_path, [f"a,{images},t,1"]))
        assert catalog.search()[0].image == catalog.get(["a"])[0].images[0].source == images.split("|")[0]


def test_the_same_bytes_twice_in_one_item_stay_unchanged(catalog: Catalog, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        picture(tmp_path / name, 1)
    feed = write_feed(tmp_path, ["x,a.png|b.png,t,1"])
    assert run(catalog, feed).added == 1
    assert run(catalog, feed).unchanged == 1


def test_words_find_pictures_by_what_they_show_and_by_title(catalog: Catalog, tmp_path: Path) -> None:
    for name in ("red", "green", "blue"):
        Image.new("RGB", (16, 16), name).save(tmp_path / f"{name}.png")
    run(catalog, write_feed(tmp_path, ["r,red.png,,1", "g,green.png,,1", "b,blue.png,,1"]))
    assert catalog.search(text="green", limit=1).keys == ["g"]
    run(catalog, write_feed(tmp_path, ["r,red.png,blue,1", "g,green.png,,1", "b,blue.png,blue,1"]))
    results = catalog.search(text="blue", limit=3)
    assert results.keys[0] == "b"
    assert set(results[0].scores) == {"text", "title"}
    assert catalog.search(text="r", limit=1).keys == ["r"]  # a key
    assert catalog.search(text="blue", without="blue", image=tmp_path / "red.png", balance=0.1, limit=1).keys == ["r"]
    with pytest.raises(UsageError, match="at least one thing to look for"):
        catalog.search(without="blue")


def hostile_folder(folder: Path) -> dict[str, bool]:
    """Write files good and bad; return which are good."""
    picture(folder / "good" / "plain.png", 1)
    whole = picture(folder / "good" / "photo.jpg", 2, "JPEG")
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").touch()
    (folder / "notes.txt").write_text("not a picture")
    (folder / "lies.jpg").write_text("<!doctype html><p>not found</p>")
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    (folder / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    Image.new("CMYK", (30, 20), (10, 200, 30, 0)).save(folder / "good" / "cmyk.jpg")
    Image.fromarray(RANDOM.integers(0, 65536, (20, 30), dtype=np.uint16)).save(folder / "good" / "deep.png")
    Image.new("P", (20, 20), 3).save(folder / "good" / "palette.gif")
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "good" / "moving.gif", save_all=True, append_images=frames[1:])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20), "green").save(folder / "good" / "turned.jpg", exif=exif)
    Image.new("RGB", (1, 1), "red").save(folder / "good" / "dot.png")
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), "blue").save(buffer, "PNG")
    with open(os.fsencode(folder) + b"/good/caf\xe9.png", "wb") as file:  # noqa: PTH123  # a path of bytes
        file.write(buffer.getvalue())
    good = {"plain.png", "photo.jpg", "cmyk.jpg", "deep.png", "palette.gif", "moving.gif", "turned.jpg", "dot.png"}
    bad = {"truncated.jpg", "empty.png", "notes.txt", "lies.jpg", "bomb.png"}
    return {**{f"good/{name}": True for name in good | {"caf\\xe9.png"}}, **dict.fromkeys(bad, False)}


def test_a_hostile_folder_is_indexed_to_the_end(catalog: Catalog, tmp_path: Path) -> None:
    files = hostile_folder(tmp_path / "pictures")
    report = run(catalog, tmp_path / "pictures")
    assert {one.key for one in report.rejects} == {name for name, good in files.items() if not good}
    assert all(len(one.reason) > 10 for one in report.rejects)
    assert {row.key for row in catalog._core.records.items()} == {name for name, good in files.items() if good}
    (turned,) = catalog.get(["good/turned.jpg"])
    assert (turned.images[0].width, turned.images[0].height) == (20, 40)
    assert {one.key for one in catalog.ledger(state="rejected")} == {one.key for one in report.rejects}
    again = run(catalog, tmp_path / "pictures")
    assert (again.unchanged, len(again.rejects)) == (9, 5)


def test_one_bad_picture_of_several_is_rejected_and_the_item_kept(catalog: Catalog, tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 1)
    (tmp_path / "b.png").write_text("no")
    report = run(
        catalog, write_feed(tmp_path, ["x,a.png|b.png,t,1", "y,b.png,t,1", "z,,t,1", "u,http://127.0.0.1/a.png,t,1"])
    )
    assert report.added == 1
    found = {(one.row, one.key, one.source): one.reason for one in report.rejects}
    assert found.keys() == {(3, "z", None), (1, "x", "b.png"), (2, "y", "b.png"), (4, "u", "http://127.0.0.1/a.png")}
    assert "an address of this machine" in found[4, "u", "http://127.0.0.1/a.png"]
    assert len(catalog.get(["x"])[0].images) == 1
    with pytest.raises(ItemNotFound):
        catalog.get(["y"])


def test_a_value_that_does_not_fit_the_catalog_costs_the_value_and_not_the_item(
    catalog: Catalog, tmp_path: Path
) -> None:
    picture(tmp_path / "a.png", 1)
    (tmp_path / "first.jsonl").write_text('{"key": "x", "image": "a.png", "price": 1, "stock": 3}\n')
    run(catalog, tmp_path / "first.jsonl")
    (tmp_path / "more.jsonl").write_text('{"key": "y", "image": "a.png", "price": "cheap", "stock": "many", "n": 1}\n')
    report = run(catalog, tmp_path / "more.jsonl")
    assert (report.added, report.rejected, report.warnings) == (1, 0, 2)
    assert [(row, one.column, one.value) for row, one in report.warned] == [(1, "price", "cheap"), (1, "stock", "many")]
    (item,) = catalog.get("y")
    assert (item.fields["price"], item.fields["stock"], item.fields["n"]) == (None, None, 1)
    entries = [(one.key, one.source, one.reason) for one in catalog.ledger(state="warning")]
    assert [(key, source) for key, source, _ in entries] == [("y", "price"), ("y", "stock")]
    assert "'many'" in (entries[1][2] or "") and "whole numbers" in (entries[1][2] or "")
    again = run(catalog, tmp_path / "more.jsonl")
    assert (again.unchanged, again.warnings) == (1, 2)
    (tmp_path / "more.jsonl").write_text('{"key": "y", "image": "a.png", "price": 2, "stock": 4, "n": 1}\n')
    assert (run(catalog, tmp_path / "more.jsonl").warnings, list(catalog.ledger(state="warning"))) == (0, [])


def test_a_broken_off_run_keeps_what_it_committed_and_is_finished_by_the_next(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookalike.retrieval.ingest.index_run._COMMIT_EVERY_S", 0.0)
    for number in range(200):
        picture(tmp_path / f"{number}.png", number)
    feed = write_feed(tmp_path, [f"k{number},{number}.png,t,1" for number in range(200)])
    for report in IndexRun(catalog._core, open_feed(feed)):
        if report.added >= 64:
            break
    kept = catalog.count()
    assert 64 <= kept < 200
    report = run(catalog, feed)
    assert (report.added, report.unchanged) == (200 - kept, kept)
    assert report.encoded == 200 - kept


def test_unit_rows_are_stored_for_a_model(catalog: Catalog, tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 1)
    run(catalog, write_feed(tmp_path, ["x,a.png,red,1"]))
    rows = catalog._core.records.vectors("image", 12).vectors.astype(np.float32)
    assert np.allclose(rows, unit_rows(rows), atol=1e-3)
    assert catalog._core.records.vectors("title", 3).vectors.shape == (1, 3)

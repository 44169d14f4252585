from __future__ import annotations

import gzip
import io
import os
import shutil
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from lookalike import Catalog
from lookalike.data.errors import FeedError
from lookalike.data.feeds.feed import named_feed, open_feed, open_feeds
from lookalike.data.feeds.file_names import folder_levels, is_camera_number, title_of
from lookalike.data.feeds.folder import pictures_beside, pictures_of_sidecars
from lookalike.data.feeds.source_files import look_at_folder
from lookalike.data.item import Item, Rejected
from lookalike.data.pictures.picture_sources import read_place
from lookalike.retrieval.ingest.dry_run import Action
from lookalike.retrieval.ingest.watch import Watch
from tests.fakes import ColourEncoder
from tests.running import call, call_json
from tests.test_indexing import picture
from tests.test_picture_metadata import XMP, exif, file, listed, xmp


@pytest.fixture
def catalog(tmp_path: Path, encoder: ColourEncoder) -> Iterator[Catalog]:
    with Catalog.create(tmp_path / "shop", model="compact") as made:
        yield made


def put(path: Path, content: bytes | int = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, int):
        picture(path, content)
    else:
        path.write_bytes(content)
    return path


def keys(folder: Path) -> list[str | None]:
    return [entry.key for entry in open_feed(folder)]


def titles(catalog: Catalog) -> dict[str, str | None]:
    return {item.key: item.title for item in catalog.items()}


# --- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "IMG_1005", "IMG_E1005", "DSC01234", "_DSC1234", "DSC_0001", "DSCN0042", "DSCF1234-2", "P1000123", "_MG_1234",
        "GOPR0123", "DJI_0042", "100_1234", "R0012345", "20190704_153012", "IMG_20190704_153012_HDR",
        "PXL_20210101_123456789", "PXL_20210101_123456789.PORTRAIT", "IMG-20190704-WA0001", "2019-07-04 15.30.12",
        "WhatsApp Image 2019-07-04 at 15.30.12", "WhatsApp Image 2019-07-04 at 15.30.12 (1)", "FB_IMG_1562247012345",
        "Screenshot_20190704-153012", "photo_2019-07-04_15-30-12", "IMG_1005 (1)", "IMG_1005-edited",
        "8F3C1D2E-1111-2222-3333-444455556666",
    ],
)  # fmt: skip
def test_names_that_cameras_make_up_are_no_titles(name: str) -> None:
    assert is_camera_number(name)
    assert title_of(name) is None


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("red-shoe_2", "red shoe 2"),
        ("beach 2019", "beach 2019"),
        ("sofa1234", "sofa1234"),
        ("mug_0001", "mug 0001"),
        ("lamp-4021", "lamp 4021"),
        ("Le 14 juillet", "Le 14 juillet"),
        ("2019-07-04", "2019 07 04"),
        ("1005", "1005"),
        ("Image of a dog", "Image of a dog"),
        ("e1234", "e1234"),
    ],
)
def test_other_names_are_titles(name: str, title: str) -> None:
    assert title_of(name) == title


def test_folders_are_levels_with_readable_names() -> None:
    assert folder_levels([]) is None
    assert folder_levels(["2019", "Summer_in+Italy", "Cafe\u0301"]) == [
        "2019",
        "2019/Summer in Italy",
        "2019/Summer in Italy/Café",
    ]


# --- what is read and what is left out -----------------------------------------------------------------------------


def test_files_that_are_no_pictures_are_left_out_and_counted(tmp_path: Path) -> None:
    for name in (
        "a.jpg", "a.xmp", "b.jpg", "b.jpg.json", "c.jpg", "c.jpg.supplemental-metadata.json", "metadata.json", "c.aae",
        "@eaDir/a.jpg/SYNOFILE_THUMB_M.jpg", "#recycle/x.jpg", "$RECYCLE.BIN/y.jpg", ".Trash-1000/z.jpg",
        "._a.jpg", "Thumbs.db", "desktop.ini", ".DS_Store", "My Previews.lrdata/1.lrprev", "My.lrcat",
        ".hidden/h.jpg", ".nomedia", "sub/@eaDir/b.jpg", "sub/d.jpg",
    ):  # fmt: skip
        put(tmp_path / name)
    feed = open_feed(tmp_path)
    assert keys(tmp_path) == ["a.jpg", "b.jpg", "c.jpg", "sub/d.jpg"]
    assert feed.count == 4
    assert feed.notes == (
        "Left out: 1 hidden file, 1 hidden folder, 4 files of the operating system, 3 recycle bins, "
        "2 folders of thumbnails, 2 Lightroom files and folders, 5 sidecars",
    )


def test_a_folder_without_anything_to_leave_out_has_no_notes(tmp_path: Path) -> None:
    put(tmp_path / "a.jpg")
    assert open_feed(tmp_path).notes == ()


def test_linked_folders_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    put(tmp_path / "photos" / "z" / "1.jpg")
    put(tmp_path / "drive" / "more" / "2.jpg")
    (tmp_path / "photos" / "a").symlink_to(tmp_path / "photos" / "z")
    (tmp_path / "photos" / "drive").symlink_to(tmp_path / "drive")
    (tmp_path / "photos" / "drive again").symlink_to(tmp_path / "drive" / "more")
    (tmp_path / "drive" / "back").symlink_to(tmp_path / "photos")
    (tmp_path / "photos" / "self").symlink_to("self")
    feed = open_feed(tmp_path / "photos")
    assert keys(tmp_path / "photos") == ["self", "z/1.jpg", "drive/more/2.jpg"]
    assert feed.notes == ("Left out: 3 links to folders that are read already",)


def test_a_folder_may_be_thousands_of_folders_deep(tmp_path: Path) -> None:
    where = os.getcwd()  # noqa: PTH109  # a path of this length can only be reached step by step
    os.chdir(put(tmp_path / "photos" / "top.jpg").parent)
    try:
        for _ in range(3_000):
            Path("d").mkdir()
            os.chdir("d")
        put(Path("x.jpg"))
        os.chdir(where)
        entries = list(open_feed(tmp_path / "photos"))
    finally:
        os.chdir(where)
        subprocess.run(["rm", "-rf", tmp_path / "photos"], check=True)  # `shutil` and pytest cannot
    assert [entry.key for entry in entries if isinstance(entry, Item)] == ["top.jpg"]
    (rejected,) = [entry.reason for entry in entries if isinstance(entry, Rejected)]
    assert "cannot be listed: File name too long" in rejected


# --- fields --------------------------------------------------------------------------------------------------------


def test_metadata_becomes_fields_that_filter(catalog: Catalog, tmp_path: Path, encoder: ColourEncoder) -> None:
    photos = tmp_path / "photos"
    put(photos / "2019" / "Italy" / "IMG_1005.jpg", file(exif=exif()))
    put(photos / "2019" / "Italy" / "IMG_1006.jpg", file(quality=50))
    put(photos / "2019" / "Italy" / "IMG_1006.xmp", XMP)
    takeout = {"title": "beach_walk.jpg", "description": "Low tide", "people": [{"name": "Ada"}]}
    put(photos / "2020" / "beach_walk.jpg", file(quality=60))
    put(photos / "2020" / "beach_walk.jpg.json", orjson.dumps(takeout))
    report = catalog.index(photos).finish()
    assert (report.added, report.rejected, report.warnings) == (3, 0, 0)
    assert titles(catalog) == {
        "2019/Italy/IMG_1005.jpg": None,
        "2019/Italy/IMG_1006.jpg": "Café at night",
        "2020/beach_walk.jpg": "beach walk",
    }
    first = next(iter(catalog.get(["2019/Italy/IMG_1005.jpg"])))
    assert first.fields == {
        "category": "2019",
        "folder": ["2019", "2019/Italy"],
        "file": "IMG_1005.jpg",
        "captured": datetime(2019, 7, 4, 13, 30, 12, tzinfo=UTC),
        "camera": "NIKON D750",
        "lens": "AF-S 35mm f/1.8G",
        "latitude": -33.86,
        "longitude": 151.2,
        "width": 320,
        "height": 144,
        "megapixels": 0.1,
        "orientation": "landscape",
        **dict.fromkeys(("caption", "keywords", "people", "rating")),
    }
    for condition, found in {
        'captured >= "2019-07-01" and captured < "2019-08-01"': ["2019/Italy/IMG_1005.jpg"],
        'array_contains(keywords, "night")': ["2019/Italy/IMG_1006.jpg"],
        'array_contains(people, "Ada")': ["2019/Italy/IMG_1006.jpg", "2020/beach_walk.jpg"],
        'array_contains(folder, "2019/Italy") and rating >= 4': ["2019/Italy/IMG_1006.jpg"],
        'file == "IMG_1005.jpg"': ["2019/Italy/IMG_1005.jpg"],
        "latitude < 0": ["2019/Italy/IMG_1005.jpg"],
    }.items():
        assert sorted(item.key for item in catalog.items(condition)) == found, condition
    encoder.batches.clear()
    again = catalog.index(photos).finish()
    assert (again.unchanged, again.updated) == (3, 0)
    assert encoder.batches == []


def test_metadata_that_changes_updates_the_item_and_encodes_nothing(
    catalog: Catalog, tmp_path: Path, encoder: ColourEncoder
) -> None:
    put(tmp_path / "photos" / "IMG_1.jpg", file())
    put(tmp_path / "photos" / "IMG_1.xmp", XMP)
    catalog.index(tmp_path / "photos").finish()
    put(tmp_path / "photos" / "IMG_1.xmp", xmp(listed("dc:subject", "Bag", "day")))
    encoder.batches.clear()
    (change,) = catalog.dry_run(tmp_path / "photos")
    assert change.action is Action.UPDATE
    assert change.fields["keywords"] == (["night", "café"], ["day"])
    assert catalog.index(tmp_path / "photos").finish().updated == 1
    assert encoder.batches == []


def test_metadata_that_does_not_fit_a_field_costs_the_value_only(catalog: Catalog, tmp_path: Path) -> None:
    catalog.add_field("rating", "timestamp")
    put(tmp_path / "photos" / "a.jpg", file(xmp=XMP))
    report = catalog.index(tmp_path / "photos").finish()
    assert (report.added, report.rejected, report.warnings) == (1, 0, 1)
    (item,) = catalog.items()
    assert item.fields["keywords"] == ["night", "café"]
    assert item.fields.get("rating") is None


def test_takeout_is_read_from_its_zip(catalog: Catalog, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "takeout-1.zip", "w") as archive:
        album = "Takeout/Google Photos/Photos from 2019/"
        archive.writestr(f"{album}IMG_7.jpg", file())
        archive.writestr(f"{album}IMG_7.jpg.supplemental-metadata.json", orjson.dumps({"description": "The harbour"}))
        archive.writestr(f"{album}metadata.json", b"{}")
        archive.writestr(f"{album}._IMG_7.jpg", b"x")
    feed = open_feed(tmp_path / "takeout-1.zip")
    assert (feed.count, feed.notes) == (1, ("Left out: 1 file of the operating system, 2 sidecars",))
    catalog.index(tmp_path / "takeout-1.zip").finish()
    (item,) = catalog.items()
    assert item.title == item.fields["caption"] == "The harbour"


# --- one feed or two -----------------------------------------------------------------------------------------------


def test_two_folders_of_one_name_are_two_feeds(catalog: Catalog, tmp_path: Path) -> None:
    for number in range(4):
        put(tmp_path / "A" / "DCIM" / f"IMG_{number}.png", number)
        put(tmp_path / "B" / "DCIM" / f"IMG_{number}.png", 100 + number)
    catalog.index(tmp_path / "A" / "DCIM").finish()
    feed = catalog.feeds(tmp_path / "B" / "DCIM")[0]
    assert feed.name == "B/DCIM"
    assert "'B/DCIM', whose keys begin with B/DCIM/" in feed.notes[-1]
    for _ in range(2):
        report = catalog.index(tmp_path / "B" / "DCIM", sync=True).finish()
        assert report.deleted == 0
        assert catalog.count() == 8
    assert report.unchanged == 4
    assert catalog.index(tmp_path / "A" / "DCIM", sync=True).finish().unchanged == 4
    (tmp_path / "B" / "DCIM" / "IMG_0.png").unlink()
    assert catalog.index(tmp_path / "B" / "DCIM", sync=True).finish().deleted == 1
    assert sorted(item.key for item in catalog.items()) == [
        *(f"B/DCIM/IMG_{number}.png" for number in range(1, 4)),
        *(f"IMG_{number}.png" for number in range(4)),
    ]


def test_two_folders_of_one_name_in_one_command(tmp_path: Path, encoder: ColourEncoder) -> None:
    put(tmp_path / "A" / "DCIM" / "IMG_1.png", 1)
    put(tmp_path / "B" / "DCIM" / "IMG_1.png", 2)
    sources = tmp_path / "A" / "DCIM", tmp_path / "B" / "DCIM"
    report = call_json("index", tmp_path / "shop", *sources)
    assert (report["added"], report["rejected"]) == (2, 0)
    assert call_json("index", tmp_path / "shop", sources[1], "--sync")["unchanged"] == 1
    with Catalog.open(tmp_path / "shop") as catalog:
        assert sorted(item.key for item in catalog.items()) == ["A/DCIM/IMG_1.png", "B/DCIM/IMG_1.png"]


def test_a_folder_that_moved_or_was_copied_is_the_same_feed(catalog: Catalog, tmp_path: Path) -> None:
    for number in range(4):
        put(tmp_path / "A" / "photos" / f"{number}.png", number)
    catalog.index(tmp_path / "A" / "photos").finish()
    shutil.copytree(tmp_path / "A", tmp_path / "B")
    put(tmp_path / "B" / "photos" / "4.png", 4)
    report = catalog.index(tmp_path / "B" / "photos", sync=True).finish()
    assert (report.unchanged, report.added, report.deleted) == (4, 1, 0)
    shutil.move(tmp_path / "B", tmp_path / "C")
    assert catalog.index(tmp_path / "C" / "photos", sync=True).finish().unchanged == 5
    shutil.move(tmp_path / "C" / "photos", tmp_path / "C" / "pictures")
    assert catalog.index(tmp_path / "C" / "pictures").finish().unchanged == 5


def test_a_folder_of_another_name_does_not_replace_other_pictures(catalog: Catalog, tmp_path: Path) -> None:
    put(tmp_path / "2019" / "IMG_1.png", 1)
    put(tmp_path / "2020" / "IMG_1.png", 2)
    catalog.index(tmp_path / "2019").finish()
    assert catalog.index(tmp_path / "2020").finish().added == 1
    assert sorted(item.key for item in catalog.items()) == ["IMG_1.png", f"{tmp_path.name}/2020/IMG_1.png"]


def test_a_named_feed_takes_the_place_of_the_one_of_its_name(tmp_path: Path, encoder: ColourEncoder) -> None:
    put(tmp_path / "A" / "DCIM" / "IMG_1.png", 1)
    put(tmp_path / "B" / "DCIM" / "IMG_1.png", 2)
    call("index", tmp_path / "shop", tmp_path / "A" / "DCIM", "--feed", "camera")
    report = call_json("index", tmp_path / "shop", tmp_path / "B" / "DCIM", "--feed", "camera", "--sync")
    assert (report["updated"], report["added"]) == (1, 0)
    with Catalog.open(tmp_path / "shop") as catalog:
        assert catalog.feeds(tmp_path / "B" / "DCIM")[0].name == "camera"


def test_feeds_of_catalogs_made_before_keep_their_names_and_keys(catalog: Catalog, tmp_path: Path) -> None:
    put(tmp_path / "A" / "DCIM" / "IMG_1.png", 1)
    put(tmp_path / "B" / "DCIM" / "IMG_2.png", 2)
    first, second = open_feeds([tmp_path / "A" / "DCIM", tmp_path / "B" / "DCIM"])
    for feed in (first, second):  # as they were written before places were compared
        catalog.index(named_feed(feed, feed.name)).finish()
    for name in ("A", "B"):
        (feed,) = catalog.feeds(tmp_path / name / "DCIM")
        assert (feed.name, feed.prefix) == (f"{name}/DCIM", "")
        assert catalog.index(feed, sync=True).finish().unchanged == 1
    assert sorted(item.key for item in catalog.items()) == ["IMG_1.png", "IMG_2.png"]
    catalog._core.records.ledger._database.connection.execute("DELETE FROM sources")
    put(tmp_path / "photos" / "IMG_1.png", 1)
    catalog.index(named_feed(open_feed(tmp_path / "photos"), "photos")).finish()
    catalog._core.records.ledger._database.connection.execute("DELETE FROM sources")
    assert catalog.feeds(tmp_path / "photos")[0].name == "photos"


# --- watching ------------------------------------------------------------------------------------------------------


def test_a_sidecar_stands_for_its_pictures(tmp_path: Path) -> None:
    for name in ("s/a.jpg", "s/a.xmp", "s/b.jpg", "c.jpg"):
        put(tmp_path / name)
    assert set(look_at_folder(tmp_path).files) == {b"s/a.jpg", b"s/a.xmp", b"s/b.jpg", b"c.jpg"}
    assert pictures_beside(tmp_path, [b"s/a.xmp", b"c.jpg"]) == [b"c.jpg", b"s/a.jpg"]
    assert pictures_beside(tmp_path, [b"s/b.jpg"]) == [b"s/b.jpg"]
    (tmp_path / "s" / "a.xmp").unlink()
    assert pictures_of_sidecars(tmp_path, [b"s/a.xmp", b"s/gone.xmp"]) == [b"s/a.jpg"]
    (tmp_path / "s" / "a.jpg").unlink()
    assert pictures_of_sidecars(tmp_path, [b"s/a.xmp", b"s/a.jpg"]) == []


def test_a_sidecar_that_comes_changes_or_goes_is_seen(catalog: Catalog, tmp_path: Path) -> None:
    photos = tmp_path / "B" / "photos"
    put(tmp_path / "A" / "photos" / "IMG_0.jpg", 7)
    catalog.index(tmp_path / "A" / "photos").finish()
    for number in range(4):
        put(photos / f"IMG_{number}.jpg", file(quality=40 + number))
    stop = threading.Event()
    watch = Watch(
        catalog._core, photos, lambda: catalog.feeds(photos)[0], stop=stop, settle_s=0.05, missing_s=0.05
    )  # fmt: skip
    catalog.index(watch.feed).finish()
    steps: list[Callable[[], object]] = [
        lambda: put(photos / "IMG_0.xmp", XMP),
        lambda: put(photos / "IMG_0.xmp", xmp(listed("dc:subject", "Bag", "day", "long"))),
        lambda: (photos / "IMG_0.xmp").unlink(),
        lambda: (photos / "IMG_3.jpg").unlink(),
    ]
    expected = [(["night", "café"], 5), (["day", "long"], 5), (None, 5), (None, 4)]

    def state() -> tuple[object, int]:
        (item,) = catalog.get(["B/photos/IMG_0.jpg"])
        return item.fields.get("keywords"), catalog.count()

    steps[0]()
    done = 0
    for _ in watch:
        if state() == expected[done]:
            done += 1
            if done == len(steps):
                break
            steps[done]()
    assert done == len(steps)
    assert titles(catalog)["IMG_0.jpg"] is None


# --- archives ------------------------------------------------------------------------------------------------------


def test_an_archive_may_be_thousands_of_folders_deep(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name in ("d/" * 3_000 + "x.jpg", "top.jpg"):
            info = tarfile.TarInfo(name)
            info.size = 1
            archive.addfile(info, io.BytesIO(b"x"))
    deep, top = open_feed(tmp_path / "a.tar")
    assert isinstance(deep, Rejected)
    assert "at most 512" in deep.reason
    assert top.key == "top.jpg"


def tar_of(path: Path, *names: str, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for number, name in enumerate(names):
            info = tarfile.TarInfo(name)
            content = b"{}" if name.endswith(".json") else bytes([number])
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("compressed", [False, True])
def test_an_archive_appended_to_another_is_read(tmp_path: Path, compressed: bool) -> None:
    first = tar_of(tmp_path / "1.tar", "a.jpg", "b.jpg").read_bytes()
    second = tar_of(tmp_path / "2.tar", "c.jpg").read_bytes()
    whole = first + second + b"\0" * 4096 + b"a trailer of something else" * 40
    path = tmp_path / ("all.tar.gz" if compressed else "all.tar")
    path.write_bytes(gzip.compress(first) + gzip.compress(whole[len(first) :]) if compressed else whole)
    found = [item for item in open_feed(path) if isinstance(item, Item)]
    assert [item.key for item in found] == ["a.jpg", "b.jpg", "c.jpg"]
    assert [read_place(item.images[0].place) for item in found] == [b"\0", b"\1", b"\0"]


def test_members_that_cannot_belong_to_a_sample_are_in_the_ledger_with_the_reason(
    catalog: Catalog, tmp_path: Path
) -> None:
    path = tar_of(
        tmp_path / "s.tar", "1.jpg", "1.json", "1.jpg", "2.jpg", "2.json", "1.json", "1.png", "1.cls2", "3.jpg"
    )
    entries = list(open_feed(path))
    assert [entry.key for entry in entries if isinstance(entry, Item)] == ["1", "2", "3"]
    catalog.index(path).finish()
    reasons = {(entry.source, entry.reason) for entry in catalog.ledger() if entry.source in ("1.json", "1.png")}
    assert len(reasons) == 2
    assert all("'1' does not lie together in s.tar" in (reason or "") for _, reason in reasons)
    assert any(
        isinstance(one, Rejected) and one.source == "1.jpg" and "second member of this name" in one.reason
        for one in entries
    )


def zip_of(path: Path, *names: bytes) -> Path:
    """Write a zip archive whose names are the bytes given, without a mark of their encoding."""
    placeholders = [b"%c" % (65 + number) * len(name) for number, name in enumerate(names)]
    with zipfile.ZipFile(path, "w") as archive:
        for name in placeholders:
            archive.writestr(name.decode(), b"x")
    content = path.read_bytes()
    for name, placeholder in zip(names, placeholders, strict=True):
        content = content.replace(placeholder, name)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("names", "encoding"),
    [
        (["写真/富士山の表.jpg", "写真/ソフト.png"], "cp932"),
        (["旅行/東京タワー 2019.jpg", "plain.jpg"], "cp932"),
        (["süß.jpg", "Übung Größe.jpg", "straße.jpg"], "cp437"),
        (["café créé.jpg", "forêt.jpg", "söt.jpg", "Ärmel.jpg"], "cp437"),
        (["写真/ソフト.jpg", "café.jpg"], "utf-8"),
    ],
)
def test_names_in_a_zip_are_read_in_their_encoding(tmp_path: Path, names: list[str], encoding: str) -> None:
    path = zip_of(tmp_path / "a.zip", *(name.encode(encoding) for name in names))
    found = [item for item in open_feed(path) if isinstance(item, Item)]
    assert [item.key for item in found] == names
    assert [read_place(item.images[0].place) for item in found] == [b"x"] * len(names)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "Thumbs.db")
    with pytest.raises(FeedError, match="has no files"):
        open_feed(tmp_path)

from __future__ import annotations

import gc
import gzip
import io
import os
import re
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import lookalike.data.archives.tar_archive
import lookalike.data.pictures.held_pictures
from lookalike import Catalog
from lookalike.data.archives.archive import clean_name
from lookalike.data.errors import FeedError, NotAPicture
from lookalike.data.feeds.feed import open_feed, open_feeds
from lookalike.data.item import Item, Rejected, Value
from lookalike.data.pictures.held_pictures import hold
from lookalike.data.pictures.picture_sources import read_place
from lookalike.retrieval.ingest.index_run import IndexRun
from tests.fakes import ColourEncoder

MODES = {".tar": "w", ".tar.gz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}
KINDS = [".zip", *MODES]


def png(colour: str, size: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(buffer, "PNG")
    return buffer.getvalue()


FILES = {"mugs/big_blue-mug.png": png("blue"), "mugs/deep/x.png": png("red"), "loose.png": png("green", 9)}


def pack(path: Path, files: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path
    mode = next(mode for suffix, mode in reversed(MODES.items()) if path.name.endswith(suffix))
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def read(source: Path) -> dict[str, tuple[str | None, dict[str, Value], list[bytes]]]:
    """Everything that a feed gives, by key."""
    found = {}
    for entry in open_feed(source):
        assert isinstance(entry, Item), entry
        contents = [read_place(image.place) for image in entry.images]
        found[entry.key] = entry.title, dict(entry.fields), contents
    return found


def reasons(source: Path) -> dict[str, str]:
    return {entry.source or entry.key or "": entry.reason for entry in open_feed(source) if isinstance(entry, Rejected)}


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_of_pictures_is_the_same_as_the_folder(tmp_path: Path, kind: str) -> None:
    for name, content in FILES.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(content)
    archive = pack(tmp_path / f"a{kind}", {**FILES, ".hidden/x.png": b"", "mugs/._x.png": b""})
    assert read(archive) == read(tmp_path / "folder")
    assert open_feed(archive).count == len(FILES)


@pytest.mark.parametrize("kind", KINDS)
def test_the_vectors_of_an_archive_are_those_of_the_folder(tmp_path: Path, encoder: ColourEncoder, kind: str) -> None:
    for name, content in FILES.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(content)
    stored = []
    for number, source in enumerate((tmp_path / "folder", pack(tmp_path / f"a{kind}", FILES))):
        with Catalog.create(tmp_path / f"shop{number}", model="compact") as catalog:
            *_, report = IndexRun(catalog._core, open_feed(source))
            assert (report.added, report.rejects) == (3, [])
            view = catalog._core.newest.state()
            stored.append({row.key: view.vectors_of("image", row.id) for row in catalog._core.records.items()})
    for key, vectors in stored[0].items():
        assert np.array_equal(vectors, stored[1][key])


@pytest.mark.parametrize("kind", KINDS)
def test_a_feed_in_an_archive_finds_its_pictures_beside_it_and_nowhere_else(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    (tmp_path / "secret.png").write_bytes(png("white"))
    rows = [
        "sku,image,price",
        "a,img/2.png|img/../loose.png,1.5",
        "b,img\\1.png,2",
        f"c,{tmp_path}/secret.png,3",
        "d,/shop/img/1.png,4",
        "e,../secret.png,5",
    ]
    files = {
        "shop/img/1.png": png("red"),
        "shop/feed.csv": "\n".join(rows).encode(),
        "shop/img/2.png": png("blue"),
        "shop/loose.png": png("white"),
    }
    feed = open_feed(pack(tmp_path / f"a{kind}", files))
    assert feed.columns == {"sku": "key", "image": "pictures", "price": "float"}
    a, b, c, d, e = [entry for entry in feed if isinstance(entry, Item)]
    assert [read_place(image.place) for image in a.images] == [files["shop/img/2.png"], files["shop/loose.png"]]
    assert a.fields == {"price": 1.5}
    assert read_place(b.images[0].place) == read_place(d.images[0].place) == files["shop/img/1.png"]
    for outside in (c, e):
        with pytest.raises(NotAPicture, match="no such file in the archive"):
            read_place(outside.images[0].place)
    del feed
    gc.collect()
    assert not list((tmp_path / "temporary").iterdir())


def test_a_feed_in_an_archive_that_cannot_be_read_is_named_as_it_is_there(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", {"my.csv": b"", "1.png": b"x"})
    with pytest.raises(FeedError, match="^my.csv in a.zip is empty"):
        open_feed(archive)
    with pytest.raises(FeedError, match="several feeds: a.csv, b.jsonl"):
        open_feed(pack(tmp_path / "b.zip", {"a.csv": b"", "b.jsonl": b""}))
    with pytest.raises(FeedError, match="has no files"):
        open_feed(pack(tmp_path / "c.zip", {}))
    with pytest.raises(FeedError, match="no columns"):
        open_feed(pack(tmp_path / "d.tar", FILES), key="sku")


def test_what_is_no_file_in_a_tar_is_refused_with_the_reason(tmp_path: Path) -> None:
    outside = tmp_path / "outside.png"
    outside.write_bytes(png("red"))
    kinds = {
        "sym.png": tarfile.SYMTYPE,
        "hard.png": tarfile.LNKTYPE,
        "dev.png": tarfile.CHRTYPE,
        "pipe": tarfile.FIFOTYPE,
    }
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, kind in kinds.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, str(outside)
            tar.addfile(info)
        for name in ("../up.png", "a/../../up.png", "..", "/etc/abs.png", "ok.png"):
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))
    found = reasons(tmp_path / "a.tar")
    assert {name for name, reason in found.items() if "link" in reason} == {"sym.png", "hard.png"}
    assert {name for name, reason in found.items() if "device" in reason} == {"dev.png", "pipe"}
    assert {name for name, reason in found.items() if "points outside" in reason} == {
        "../up.png",
        "a/../../up.png",
        "..",
    }
    assert [entry.key for entry in open_feed(tmp_path / "a.tar") if isinstance(entry, Item)] == [
        "etc/abs.png",
        "ok.png",
    ]


def test_what_is_no_file_in_a_zip_is_refused_with_the_reason(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("link.png")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("../up.png", b"abc")
        archive.writestr("C:/x.png", b"abc")
        archive.writestr("locked.png", b"abc")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        header = content.rindex(signature)  # of the last one
        content[header + offset] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    found = reasons(tmp_path / "a.zip")
    assert found.keys() == {"link.png", "../up.png", "locked.png"}
    assert [
        "link" in found["link.png"],
        "points outside" in found["../up.png"],
        "encrypted" in found["locked.png"],
    ] == [True] * 3
    assert [entry.key for entry in open_feed(tmp_path / "a.zip") if isinstance(entry, Item)] == ["x.png"]
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("locked.png", b"abc")
    content = bytearray((tmp_path / "b.zip").read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "b.zip").write_bytes(content)
    with pytest.raises(FeedError, match=r"is encrypted\. Unpack it with its password"):
        open_feed(tmp_path / "b.zip")


def in_directory(content: bytes, offset: int, value: bytes) -> bytes:
    """Change the entry of the only member in the directory of a zip archive."""
    at = content.index(b"PK\x01\x02") + offset
    return content[:at] + value + content[at + len(value) :]


def test_sizes_that_a_zip_declares_are_not_trusted(tmp_path: Path) -> None:
    bomb = pack(tmp_path / "a.zip", {"a.png": bytes(80_000_000)})
    assert bomb.stat().st_size < 200_000
    whole = bomb.read_bytes()
    for said, expected in (
        (80_000_000, "has 80 MB; at most 67 MB"),
        (1_000, "damaged in the archive"),  # more than was said
        (60_000_000, "damaged in the archive"),
    ):
        bomb.write_bytes(in_directory(whole, 24, said.to_bytes(4, "little")))
        (item,) = open_feed(bomb)
        assert isinstance(item, Item)
        with pytest.raises(NotAPicture, match=expected):
            read_place(item.images[0].place)
    small = pack(tmp_path / "b.zip", {"a.png": b"abc"})
    small.write_bytes(in_directory(small.read_bytes(), 24, (50_000_000).to_bytes(4, "little")))
    (item,) = open_feed(small)
    assert isinstance(item, Item)
    with pytest.raises(NotAPicture, match="damaged in the archive"):
        read_place(item.images[0].place)


def test_a_compression_that_is_not_read_is_named(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"a.png": b"abc"})
    path.write_bytes(in_directory(path.read_bytes(), 10, (9).to_bytes(2, "little")))
    (item,) = open_feed(path)
    assert isinstance(item, Item)
    with pytest.raises(NotAPicture, match="by a method that is not supported"):
        read_place(item.images[0].place)
    (tmp_path / "a.tar.zst").write_bytes(b"\x28\xb5\x2f\xfd....")
    with pytest.raises(FeedError, match="zstd -d"):
        open_feed(tmp_path / "a.tar.zst")


@pytest.mark.slow
@pytest.mark.parametrize("kind", [".tar.gz", ".tar.bz2", ".tar.xz"])
def test_a_tar_that_unpacks_to_many_times_its_size_is_given_up(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookalike.data.archives.tar_archive, "_TRUSTED_BYTES", 1_000_000)
    path = pack(tmp_path / f"a{kind}", {"first.png": png("red"), "zeros.png": bytes(100_000_000)})
    assert path.stat().st_size < 200_000
    assert "more than 200 times" in reasons(path)["zeros.png"]
    assert [entry.key for entry in open_feed(path) if isinstance(entry, Item)] == ["first.png", "zeros.png"]


def header_with_size(size: bytes, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo("x.png")
    info.type = kind
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT)[:512])
    block[124:136] = size
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    return bytes(block)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (header_with_size(b"\xff" * 10 + b"\xfc\x00"), "below zero|backwards"),  # -1024: Python would read it for ever
        (header_with_size(b"\xff" * 10 + b"\xfc\x00", tarfile.GNUTYPE_LONGNAME), "a header claims"),
        (header_with_size(b"77777777777\0", tarfile.GNUTYPE_LONGNAME), "a header claims"),
        (header_with_size(b"77777777777\0", tarfile.XHDTYPE), "a header claims"),
        (b"\x01" * 512, "a header cannot be read"),
    ],
)
def test_a_hostile_header_ends_a_tar_and_what_was_before_is_kept(
    tmp_path: Path, suffix: str, header: bytes, reason: str
) -> None:
    pack(tmp_path / "good.tar", {"good.png": png("red")})
    content = (tmp_path / "good.tar").read_bytes()[:1024] + header + bytes(4096)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    first, last = open_feed(path)
    assert isinstance(first, Item)
    assert first.key == "good.png"
    assert isinstance(last, Rejected)
    assert re.search(reason, last.reason), last.reason
    assert "damaged after 'good.png'" in last.reason


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_that_is_cut_short_gives_what_is_whole_and_says_so(tmp_path: Path, kind: str) -> None:
    noise = {f"{number}.png": os.urandom(400_000) for number in range(6)}
    path = pack(tmp_path / f"a{kind}", noise)
    path.write_bytes(path.read_bytes()[:1_300_000])
    if kind == ".zip":
        with pytest.raises(FeedError, match="not a zip archive, or is damaged"):
            open_feed(path)
        return
    entries = list(open_feed(path))
    whole = {}
    for entry in entries:
        if isinstance(entry, Item):
            try:
                whole[entry.key] = read_place(entry.images[0].place)
            except NotAPicture as error:
                assert "ends in the middle" in str(error)
    assert 1 <= len(whole) <= 4
    assert all(noise[key] == content for key, content in whole.items())
    assert isinstance(entries[-1], Rejected)


def test_a_video_in_an_archive_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (item,) = open_feed(pack(tmp_path / "a.zip", {"clip.MP4": b"\0\0\0\x20ftypisom"}))
    assert isinstance(item, Item)
    with pytest.raises(NotAPicture, match="Unpack the archive"):
        read_place(item.images[0].place)


def test_what_is_no_archive_says_so(tmp_path: Path) -> None:
    for name in ("a.zip", "a.tar", "a.tgz"):
        (tmp_path / name).write_bytes(b"this is text" * 100)
        with pytest.raises(FeedError, match=f"^{name} is not a (zip|tar) archive, or is damaged"):
            open_feed(tmp_path / name)
        with pytest.raises(FeedError, match="no archive at 'gone"):
            open_feed(tmp_path / f"gone{name}")


def test_names_that_are_not_utf8_or_occur_twice(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", encoding="latin-1", format=tarfile.GNU_FORMAT) as tar:
        for content in (b"one", b"two"):
            info = tarfile.TarInfo("caf\xe9.png")
            info.size = 3
            tar.addfile(info, io.BytesIO(content))
    first, second = open_feed(tmp_path / "a.tar")
    assert isinstance(first, Item)
    assert (first.key, read_place(first.images[0].place)) == ("caf\\xe9.png", b"one")
    assert isinstance(second, Rejected)
    assert "Row 1 has the key" in second.reason
    content = pack(tmp_path / "a.zip", {"cafXX.png": b"abc", "tXrk.png": b"abc"}).read_bytes()
    (tmp_path / "a.zip").write_bytes(content.replace(b"cafXX", b"caf\xc3\xa9").replace(b"tXrk", b"t\x81rk"))
    assert [entry.key for entry in open_feed(tmp_path / "a.zip") if isinstance(entry, Item)] == ["café.png", "türk.png"]


def test_a_zip_of_the_large_form_and_one_behind_a_program_are_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, archive.open("x.png", "w", force_zip64=True) as file:
        file.write(png("red"))
    assert read(tmp_path / "a.zip")["x.png"][2] == [png("red")]
    (tmp_path / "b.zip").write_bytes(b"#!/bin/sh\nexit\n" + (tmp_path / "a.zip").read_bytes())
    assert read(tmp_path / "b.zip")["x.png"][2] == [png("red")]


PARTS = st.sampled_from(["..", ".", "", "a", "b.png", "C:", "\\", "~", "-", "é", "nul\x01", " ", "..\\..", "a" * 300])
NAMES = st.lists(PARTS, min_size=1, max_size=6).map("/".join).filter(bool)


@given(NAMES)
def test_a_clean_name_leads_nowhere_else(name: str) -> None:
    cleaned = clean_name(name.replace("\\", "/"))
    if cleaned is not None:
        assert not cleaned.startswith("/")
        assert not {"", ".", ".."} & set(cleaned.split("/"))
        assert clean_name(cleaned.removeprefix("C:/")) is not None


@settings(max_examples=60, deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=5, unique=True), st.sampled_from([".zip", ".tar", ".tar.gz"]))
def test_whatever_the_names_nothing_is_written_and_every_file_is_an_item_or_a_reject(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], kind: str
) -> None:
    folder = tmp_path_factory.mktemp("archive")
    (folder / "in").mkdir()
    archive = pack(folder / "in" / f"a{kind}", dict.fromkeys(names, b"content"))
    try:
        entries = list(open_feed(archive))
    except FeedError as error:
        assert str(error) == f"The archive a{kind} has no files."
        entries = []
    for entry in entries:
        if isinstance(entry, Item):
            assert not {"", ".", ".."} & set(entry.key.split("/"))
            assert read_place(entry.images[0].place) == b"content"
        else:
            assert entry.reason
    assert sorted(path.name for path in folder.rglob("*")) == [f"a{kind}", "in"]


MUTATIONS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.sampled_from(KINDS), MUTATIONS, st.booleans())
def test_whatever_the_bytes_an_archive_is_read_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, kind: str, mutations: list[tuple[int, int]], cut: bool
) -> None:
    folder = tmp_path_factory.mktemp("archive")
    path = pack(folder / f"a{kind}", FILES)
    content = bytearray(path.read_bytes())
    for at, value in mutations:
        content[at % len(content)] = value
    path.write_bytes(content[: mutations[0][0] % len(content)] if cut else content)
    try:
        for entry in open_feed(path):
            if isinstance(entry, Item):
                try:
                    read_place(entry.images[0].place)
                except NotAPicture as error:
                    assert len(str(error)) > 10
    except FeedError as error:
        assert len(str(error)) > 10
    assert [one.name for one in folder.iterdir()] == [path.name]


@pytest.mark.slow
def test_pictures_in_hand_beyond_the_bound_lie_in_files_without_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    gc.collect()
    before = lookalike.data.pictures.held_pictures._memory.taken
    monkeypatch.setattr(lookalike.data.pictures.held_pictures, "MAX_HELD_BYTES", before + 100)
    contents = [bytes([number]) * 60 for number in range(3)]
    held = [hold(content) for content in contents]
    assert [type(one).__name__ for one in held] == ["_InMemory", "_InFile", "_InFile"]
    assert [one.read(max_bytes=60) for one in held] == contents == [one.read(max_bytes=60) for one in held]
    for one in held:
        with pytest.raises(NotAPicture, match="at most"):
            one.read(max_bytes=59)
    assert lookalike.data.pictures.held_pictures._memory.taken == before + 60
    assert not list(tmp_path.iterdir())
    del held, one
    gc.collect()
    assert lookalike.data.pictures.held_pictures._memory.taken == before


def test_several_feeds_give_a_key_once_and_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    (tmp_path / "x" / "f.csv").write_text("key,image\na,1.png\nb,2.png\n")
    (tmp_path / "y" / "f.csv").write_text("key,image\nb,3.png\nc,4.png\nc,5.png\n")
    archive = pack(tmp_path / "z.zip", {"a": b"", "d.png": b""})
    feeds = open_feeds([tmp_path / "x" / "f.csv", tmp_path / "y" / "f.csv", archive])
    assert [feed.name for feed in feeds] == ["x/f.csv", "y/f.csv", "z.zip"]
    for _ in range(2):  # as often as wanted
        found = [[(type(entry).__name__, entry.key, entry.row) for entry in feed] for feed in feeds]
        assert found == [
            [("Item", "a", 1), ("Item", "b", 2)],
            [("Rejected", "b", 1), ("Item", "c", 2), ("Rejected", "c", 3)],
            [("Rejected", "a", 1), ("Item", "d.png", 2)],
        ]
    assert "Row 2 of x/f.csv has the key" in next(iter(feeds[1])).reason  # type: ignore[union-attr]

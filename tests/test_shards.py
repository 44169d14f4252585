from __future__ import annotations

import io
import tarfile
from pathlib import Path

import orjson
import pytest

from lookalike.data.errors import FeedError
from lookalike.data.feeds.feed import Feed, open_feed
from lookalike.data.feeds.webdataset import expand
from lookalike.data.item import Item, Rejected
from lookalike.data.pictures.picture_sources import read_place

MODES = {".tar": "w", ".tar.gz": "w:gz"}


def shard(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def sample(key: str, number: int) -> dict[str, bytes]:
    metadata = {"sku": f"S{number}", "price": number + 0.5, "file": "elsewhere.jpg", "key": "k"}
    return {
        f"{key}.jpg": f"picture {number}".encode(),
        f"{key}.json": orjson.dumps(metadata),
        f"{key}.txt": f"title {number}\n".encode(),
        f"{key}.cls": str(number).encode(),
        f"{key}.pyd": b"a pickle",
    }


def content(feed: Feed) -> list[tuple[str, str | None, dict[str, object], list[bytes]]]:
    return [
        (one.key, one.title, dict(one.fields), [read_place(image.place) for image in one.images])
        for one in feed
        if isinstance(one, Item)
    ]


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_samples_are_items_however_the_shards_are_named(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    for first in (0, 2):
        samples = {**sample(f"a/{first}", first), **sample(f"a/{first + 1}", first + 1)}
        shard(folder / f"shop-00000{first // 2}{suffix}", samples)
    (folder / "sizes.json").write_text("{}")
    expected = [
        (
            f"a/{number}",
            f"title {number}",
            {"sku": f"S{number}", "price": number + 0.5, "file": "elsewhere.jpg", "key_": "k", "cls": number},
            [f"picture {number}".encode()],
        )
        for number in range(4)
    ]
    for source in (folder, folder / f"shop-{{000000..000001}}{suffix}"):
        feed = open_feed(source)
        assert feed.count == 4
        assert content(feed) == expected == content(feed)
    assert content(open_feed(folder / f"shop-000001{suffix}")) == expected[2:]
    assert feed.columns["jpg"] == "pictures"
    assert feed.columns["txt"] == "title"
    named = open_feed(folder, key="sku", title="file")
    assert [(one.key, one.title) for one in named if isinstance(one, Item)][:2] == [
        ("S0", "elsewhere.jpg"),
        ("S1", "elsewhere.jpg"),
    ]


def test_several_pictures_of_a_sample_are_one_item(tmp_path: Path) -> None:
    files = {"1.left.png": b"l", "1.right.png": b"r", "1.txt": b"two", "2.left.png": b"x"}
    path = shard(tmp_path / "s.tar", files)
    one, two = [item for item in open_feed(path) if isinstance(item, Item)]
    assert [(image.source, read_place(image.place)) for image in one.images] == [
        ("left.png", b"l"),
        ("right.png", b"r"),
    ]
    assert (two.key, two.title, len(two.images)) == ("2", None, 1)
    (one, two) = [item for item in open_feed(path, image="right.png") if isinstance(item, Item)]
    assert [image.source for image in one.images] == ["right.png"]
    assert two.images == ()


def test_a_tar_of_pictures_without_texts_is_a_folder_of_pictures(tmp_path: Path) -> None:
    path = shard(tmp_path / "s.tar", {"a/1.png": b"1", "b/1.txt": b"t", "readme.txt": b"hello"})
    assert [entry.key for entry in open_feed(path)] == ["a/1.png", "b/1.txt", "readme.txt"]


def test_what_is_wrong_with_a_sample_or_a_shard_costs_no_other(tmp_path: Path) -> None:
    files = {
        **{"bad.jpg": b"x", "bad.json": b"{"},
        **{"list.jpg": b"x", "list.json": b"[1]"},
        **{"text.jpg": b"x", "text.txt": b"\xff"},
        **sample("good", 1),
    }
    shard(tmp_path / "s-0.tar", files)
    (tmp_path / "s-1.tar").write_bytes(b"no tar" * 1000)
    shard(tmp_path / "s-2.tar", {**sample("good", 2), **sample("other", 3)})
    feed = open_feed(tmp_path / "s-{0..2}.tar")
    assert feed.count == 7
    assert [entry.row for entry in feed] == [1, 2, 3, 4, 5, 6, 7]
    assert [item.key for item in feed if isinstance(item, Item)] == ["good", "other"]
    found = {entry.row: entry for entry in feed if isinstance(entry, Rejected)}
    assert [found[row].key for row in (1, 2, 3)] == ["bad", "list", "text"]
    assert all("metadata" in found[row].reason or "JSON object" in found[row].reason for row in (1, 2, 3))
    assert "s-1.tar is not a tar archive" in found[5].reason
    assert "Row 4 has the key" in found[6].reason
    with pytest.raises(FeedError, match="no shard at 's-3.tar'"):
        open_feed(tmp_path / "s-{0..3}.tar")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("s.tar", ["s.tar"]),
        ("s-{8..10}.tar", ["s-8.tar", "s-9.tar", "s-10.tar"]),
        ("s-{08..10}.tar", ["s-08.tar", "s-09.tar", "s-10.tar"]),
        ("{a,b}-{0..1}.tar", ["a-0.tar", "a-1.tar", "b-0.tar", "b-1.tar"]),
        ("s-{3..1}.tar", []),
        ("s{x}.tar", ["s{x}.tar"]),
    ],
)
def test_braces_are_written_out_as_a_shell_does(pattern: str, names: list[str]) -> None:
    assert expand(pattern) == names


def test_too_many_shards_are_refused() -> None:
    for pattern in ("{0..9999999999}", "{0..99999}{0..9}"):
        with pytest.raises(FeedError, match="more than 100,000"):
            expand(pattern)

from __future__ import annotations

import io
import shutil
from pathlib import Path

import orjson
import polars as pl
import pytest
from PIL import Image

from lookalike.data.errors import FeedError
from lookalike.data.feeds.arrow_stream import arrow_batches, count_arrow_rows
from lookalike.data.feeds.feed import Feed, open_feed
from lookalike.data.item import Item, Rejected
from lookalike.data.pictures.picture_sources import read_place

REAL = Path(__file__).parent / "hugging_face.arrow"
"""Written by `datasets` 5.2 (`Dataset.save_to_disk`) from five pictures of one colour each, made up for this test."""

FEATURES = {
    "image": {"_type": "Image"},
    "label": {"names": ["cup", "hat"], "_type": "ClassLabel"},
    "caption": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"},
    "price": {"dtype": "float32", "_type": "Value"},
}
COLOURS = ["red", "green", "blue", "white", "black"]


def saved(folder: Path, files: list[Path], features: dict[str, object] | None = None) -> None:
    """Lay a dataset out as `save_to_disk` does."""
    folder.mkdir(parents=True)
    for file in files:
        shutil.copy(file, folder / file.name)
    state = {"_data_files": [{"filename": file.name} for file in files], "_fingerprint": "x", "_split": None}
    (folder / "state.json").write_bytes(orjson.dumps(state))
    (folder / "dataset_info.json").write_bytes(orjson.dumps({"features": features or FEATURES}))


def stream(path: Path, *frames: pl.DataFrame) -> Path:
    """Write a batch for each frame: what Polars writes for each, with one schema before and one end behind."""
    parts = []
    for frame in frames:
        content = io.BytesIO()
        frame.write_ipc_stream(content)
        parts.append(content.getvalue())
    schema = 8 + int.from_bytes(parts[0][4:8], "little")
    path.write_bytes(parts[0][:schema] + b"".join(part[schema:-8] for part in parts) + parts[0][-8:])
    return path


def items(feed: Feed) -> list[Item]:
    return [entry for entry in feed if isinstance(entry, Item)]


def test_what_the_library_itself_saved_is_read(tmp_path: Path) -> None:
    saved(tmp_path / "set", [REAL])
    feed = open_feed(tmp_path / "set")
    assert feed.count == 5
    assert feed.columns["image"] == "pictures"
    assert feed.columns["caption"] == "title"
    found = items(feed)
    assert [item.key for item in found] == ["0", "1", "2", "3", "4"]
    assert [item.title for item in found] == ["red", "green", "blue", None, None]
    assert [item.fields for item in found] == [
        {"label": "cup", "price": 1.5},
        {"label": "hat", "price": 2.0},
        {"label": "cup", "price": 3.0},
        {"label": None, "price": 4.0},
        {"label": None, "price": None},
    ]
    for item, colour in zip(found, COLOURS, strict=True):
        with Image.open(io.BytesIO(read_place(item.images[0].place))) as image:
            assert image.getpixel((0, 0)) == Image.new("RGB", (1, 1), colour).getpixel((0, 0))


def test_splits_are_a_field_and_part_of_the_key(tmp_path: Path) -> None:
    for split in ("train", "test"):
        saved(tmp_path / "set" / split, [REAL])
    (tmp_path / "set" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    found = items(open_feed(tmp_path / "set"))
    assert [item.key for item in found] == [f"{split}/{number}" for split in ("train", "test") for number in range(5)]
    assert [item.fields["split"] for item in found] == ["train"] * 5 + ["test"] * 5
    assert found[6].fields == {"label": "hat", "price": 2.0, "split": "test"}


def test_a_folder_of_parquet_files_is_a_dataset(tmp_path: Path) -> None:
    frame = next(frame for frame in arrow_batches(REAL) if frame.height)
    info = orjson.dumps({"info": {"features": FEATURES}}).decode()
    (tmp_path / "data").mkdir()
    frame[:3].write_parquet(tmp_path / "data" / "train-00000-of-00002.parquet", metadata={"huggingface": info})
    frame[3:].write_parquet(tmp_path / "data" / "train-00001-of-00002.parquet", metadata={"huggingface": info})
    frame[:1].write_parquet(tmp_path / "data" / "test-00000-of-00001.parquet", metadata={"huggingface": info})
    (tmp_path / "README.md").write_text("# A set")
    (tmp_path / ".gitattributes").touch()
    saved(tmp_path / "saved", [REAL])
    expected = [
        (one.title, one.fields["label"], read_place(one.images[0].place))
        for one in items(open_feed(tmp_path / "saved"))
    ]
    shutil.rmtree(tmp_path / "saved")
    found = items(open_feed(tmp_path))
    assert [item.key for item in found] == ["test/0", *(f"train/{number}" for number in range(5))]
    assert [(one.title, one.fields["label"], read_place(one.images[0].place)) for one in found[1:]] == expected


def test_batches_come_one_at_a_time_in_order(tmp_path: Path) -> None:
    frames = [
        pl.DataFrame({"id": [f"{n}-{row}" for row in range(3)], "image": [bytes([n, row]) for row in range(3)]})
        for n in range(4)
    ]
    path = stream(tmp_path / "d.arrow", *frames)
    assert [frame.height for frame in arrow_batches(path)] == [0, 3, 3, 3, 3]
    assert count_arrow_rows(path) == 12
    assert pl.concat(list(arrow_batches(path))).equals(pl.read_ipc_stream(path))
    path.write_bytes(path.read_bytes()[:-8])  # the mark of the end may be missing
    assert count_arrow_rows(path) == 12
    saved(tmp_path / "set", [path], {"image": {"_type": "Image"}})
    found = items(open_feed(tmp_path / "set"))
    assert [item.key for item in found] == [f"{n}-{row}" for n in range(4) for row in range(3)]
    assert read_place(found[7].images[0].place) == bytes([2, 1])


def test_categories_kept_in_a_dictionary_are_read(tmp_path: Path) -> None:
    frames = [
        pl.DataFrame({"kind": pl.Series(kinds, dtype=pl.Enum(["x", "y"])), "image": [b"1", b"2"]})
        for kinds in (["x", "y"], ["y", "x"])
    ]
    saved(tmp_path / "set", [stream(tmp_path / "d.arrow", *frames)], {"image": {"_type": "Image"}})
    assert [item.fields["kind"] for item in items(open_feed(tmp_path / "set"))] == ["x", "y", "y", "x"]


def test_labels_in_lists_have_their_names_and_other_media_are_left_out(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"id": ["a"], "image": [b"1"], "tags": [[1, 0, -1, 7]], "sound": [{"bytes": b"s", "path": "s.wav"}]}
    )
    features = {
        "tags": {"feature": {"names": ["red", "blue"], "_type": "ClassLabel"}, "_type": "List"},
        "sound": {"_type": "Audio"},
    }
    saved(tmp_path / "set", [stream(tmp_path / "d.arrow", frame)], features)
    (item,) = items(open_feed(tmp_path / "set"))
    assert (item.key, item.fields) == ("a", {"tags": ["blue", "red"]})
    assert len(item.images) == 1


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (b"{}", "does not name any files"),
        (b"[]", "not a JSON object"),
        (b"{", "cannot be read"),
        (b'{"_data_files": [{"filename": "../outside.arrow"}]}', "not a file of the dataset"),
        (b'{"_data_files": [{"filename": "/etc/passwd"}]}', "not a file of the dataset"),
        (b'{"_data_files": [{"filename": "gone.arrow"}]}', "cannot be read"),
        (b'{"_data_files": [{"filename": "x.arrow"}], "_indices_data_files": [{}]}', "flatten_indices"),
    ],
)
def test_a_dataset_that_is_not_whole_says_so(tmp_path: Path, state: bytes, reason: str) -> None:
    shutil.copy(REAL, tmp_path / "outside.arrow")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "state.json").write_bytes(state)
    with pytest.raises(FeedError, match=reason):
        open_feed(tmp_path / "set")


def test_damage_is_told_and_costs_only_what_is_behind_it(tmp_path: Path) -> None:
    frames = [pl.DataFrame({"image": [bytes(300)] * 4}) for _ in range(4)]
    path = stream(tmp_path / "d.arrow", *frames)
    saved(tmp_path / "set", [path], {"image": {"_type": "Image"}})
    feed = open_feed(tmp_path / "set")
    (tmp_path / "set" / "d.arrow").write_bytes(path.read_bytes()[:3500])
    *before, last = feed
    assert 4 <= len(before) <= 8
    assert all(isinstance(one, Item) for one in before)
    assert isinstance(last, Rejected)
    assert "d.arrow" in last.reason
    assert "truncated" in last.reason
    with pytest.raises(FeedError, match="truncated"):
        open_feed(tmp_path / "set")

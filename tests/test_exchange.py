"""Out into Parquet and back in: nothing is lost, nothing is changed, and other people's files are read too."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import orjson
import polars as pl
import pytest

import lookalike.retrieval.maintenance.parquet_export
import lookalike.retrieval.maintenance.parquet_import
from lookalike import Catalog
from lookalike.data.errors import FeedError, FilterError, ModelMismatch, UsageError
from lookalike.data.field_type import FieldType
from lookalike.data.item import Value
from lookalike.models import load_encoder
from lookalike.retrieval.maintenance.backup import list_snapshots
from lookalike.retrieval.maintenance.parquet_import import open_vector_table
from lookalike.retrieval.new_catalog import make
from lookalike.retrieval.spaces.catalog_file import CatalogFile
from lookalike.retrieval.vector_index import Metric
from tests.running import call, call_json
from tests.test_kill import contents

ROOT = Path(__file__).parent.parent
DIM = 8
RANDOM = np.random.default_rng(17)
FIELDS: dict[str, list[Value]] = {
    "name": ["Kaffee ☕", "", None, "d", None],
    "stock": [1, -(2**63), 2**63 - 1, None, 0],
    "price": [1.5, 0.1 + 0.2, None, -0.0, 1e300],
    "sold": [True, False, None, True, None],
    "since": [datetime(2026, 5, 31, 12, 0, 0, 123456, UTC), datetime(1, 1, 1, tzinfo=UTC), None, None, None],
    "tags": [["a", "b"], [], None, ["ü"], None],
    "extra": [{"a": [1, None, {"b": 2.5}]}, ["one", "two"], None, 7, "text"],
    "nothing": [None] * 5,
    "vector": ["v1", None, None, None, "a field called like a column"],
    "vector_": [1, 2, 3, 4, 5],
}
TITLES = ["Cup", None, "", "a\nb", "ß"]
KEYS = ["a", "b/c", "ü", "d d", "-e"]


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    made = Catalog.create(tmp_path / "vectors", dim=DIM)
    made.add_vectors(KEYS, RANDOM.standard_normal((5, DIM)), FIELDS, titles=TITLES)
    return made


def taken_in(file: Path, folder: Path) -> Catalog:
    make(folder, open_vector_table(file).catalog_file())
    catalog = Catalog.open(folder)
    catalog.import_parquet(file)
    return catalog


def items(catalog: Catalog) -> list[object]:
    return [(one.key, one.title, one.fields) for one in catalog.get(KEYS)]


def vectors_of(catalog: Catalog) -> dict[str, bytes]:
    with catalog._core.records.snapshot():
        ids = {row.id: row.key for row in catalog._core.records.items()}
        rows = catalog._core.records.vectors("image", catalog._core.file.spaces["image"].dim)
    return {ids[int(id_)]: vector.tobytes() for id_, vector in zip(rows.item_ids, rows.vectors, strict=True)}


def assert_equal(one: Path, other: Path) -> None:
    expected, found = contents(one), contents(other)
    assert expected.keys() == found.keys()
    for key, (title, fields, images, shown, vectors) in expected.items():
        assert found[key][0] == title
        assert orjson.loads(str(found[key][1])) == {
            name: value for name, value in orjson.loads(str(fields)).items() if value is not None
        }
        assert found[key][2:4] == (images, shown)
        for left, right in zip(vectors, found[key][4], strict=True):  # type: ignore[call-overload]
            assert left.tobytes() == right.tobytes()


def test_items_fields_and_vectors_come_back_as_they_were(catalog: Catalog, tmp_path: Path) -> None:
    assert catalog.export(tmp_path / "out.parquet") == 5
    again = taken_in(tmp_path / "out.parquet", tmp_path / "again")
    assert items(again) == items(catalog)
    assert again._core.records.schema() == catalog._core.records.schema()
    assert vectors_of(again) == vectors_of(catalog)
    assert again._core.file == catalog._core.file
    for filter in (None, "price is null", 'since > "2000-01-01"', "stock < 0", 'array_contains(tags, "a")'):
        one, other = (each.search(vector=np.ones(DIM), filter=filter) for each in (catalog, again))
        assert (one.keys, one.scores) == (other.keys, other.scores)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_columns_have_the_types_of_the_fields(catalog: Catalog, tmp_path: Path) -> None:
    catalog.export(tmp_path / "out.parquet")
    schema = pl.read_parquet_schema(tmp_path / "out.parquet")
    assert schema == {
        "key": pl.String,
        "title": pl.String,
        "name": pl.String,
        "stock": pl.Int64,
        "price": pl.Float64,
        "sold": pl.Boolean,
        "since": pl.Datetime("us", "UTC"),
        "tags": pl.List(pl.String),
        "extra": pl.String,
        "vector__": pl.String,
        "vector_": pl.Int64,
        "vector": pl.Array(pl.Float32, DIM),
    }
    frame = pl.read_parquet(tmp_path / "out.parquet")
    assert orjson.loads(frame["extra"][0]) == FIELDS["extra"][0]
    np.testing.assert_allclose(np.linalg.norm(frame["vector"].to_numpy(), axis=1), 1, atol=1e-3)


def test_pictures_titles_and_thumbnails_come_back_as_they_were(shop: Path, tmp_path: Path) -> None:
    with Catalog.open(shop) as catalog:
        assert catalog.export(tmp_path / "shop.parquet") == 510
        asked = catalog.search(text="a cup of coffee", filter="price < 20")
    with taken_in(tmp_path / "shop.parquet", tmp_path / "again") as again:
        assert again.import_parquet(tmp_path / "shop.parquet").unchanged == 510
        found = again.search(text="a cup of coffee", filter="price < 20")
        assert (found.keys, found.scores) == (asked.keys, asked.scores)
        assert again.verify().problems == []
    assert_equal(shop, tmp_path / "again")
    assert (tmp_path / "again" / "catalog.json").read_bytes() == (shop / "catalog.json").read_bytes()


def test_only_what_satisfies_a_filter_is_written(catalog: Catalog, tmp_path: Path) -> None:
    assert catalog.export(tmp_path / "some.parquet", filter="price > {least}", params={"least": 1}) == 2
    assert sorted(taken_in(tmp_path / "some.parquet", tmp_path / "some").keys(KEYS)) == ["-e", "a"]
    assert catalog.export(tmp_path / "none.parquet", filter="price > 1e301") == 0
    assert taken_in(tmp_path / "none.parquet", tmp_path / "none").count() == 0
    with pytest.raises(FilterError):
        catalog.export(tmp_path / "bad.parquet", filter="cost > 1")
    with pytest.raises(UsageError, match="already"):
        catalog.export(tmp_path / "some.parquet")


def test_without_vectors_it_is_for_reading_only(catalog: Catalog, shop: Path, tmp_path: Path) -> None:
    catalog.export(tmp_path / "plain.parquet", vectors=False)
    assert "vector" not in pl.read_parquet_schema(tmp_path / "plain.parquet")
    with Catalog.open(shop) as opened:
        opened.export(tmp_path / "shop.parquet", vectors=False)
    parts = pl.read_parquet_schema(tmp_path / "shop.parquet")["images"]
    assert [part.name for part in parts.inner.fields] == ["source", "sha256", "width", "height"]  # type: ignore[attr-defined]
    for name in ("plain", "shop"):
        with pytest.raises(FeedError, match="without vectors"):
            open_vector_table(tmp_path / f"{name}.parquet")


def test_many_batches_are_one_state_and_go_on_where_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookalike.retrieval.maintenance.parquet_export, "_MOST_BATCH_ITEMS", 100)
    monkeypatch.setattr(lookalike.retrieval.maintenance.parquet_import, "_BATCH_ROWS", 70)
    keys = [f"k{number}" for number in range(1000)]
    catalog = Catalog.create(tmp_path / "many", dim=DIM)
    catalog.add_vectors(keys, RANDOM.standard_normal((1000, DIM)), {"number": list(range(1000))})

    def write(what: str, done: int, total: int) -> None:
        catalog.add_vectors([f"new{done}", "k999"], RANDOM.standard_normal((2, DIM)), {"number": [-1, -1]})

    before = vectors_of(catalog)
    assert catalog.export(tmp_path / "many.parquet", progress=write) == 1000
    assert catalog.count() == 1010

    class Stopped(Exception):
        pass

    def stop(what: str, done: int, total: int) -> None:
        if done > 500:
            raise Stopped

    make(tmp_path / "again", open_vector_table(tmp_path / "many.parquet").catalog_file())
    again = Catalog.open(tmp_path / "again")
    with pytest.raises(Stopped):
        again.import_parquet(tmp_path / "many.parquet", progress=stop)
    written = again.count()
    assert 500 < written < 1000
    report = again.import_parquet(tmp_path / "many.parquet")
    assert (report.added, report.updated, report.unchanged) == (1000 - written, 0, written)
    assert vectors_of(again) == before
    assert [item.fields["number"] for item in again.get(keys)] == list(range(1000))
    again.add_vectors(["k1"], np.ones((1, DIM)), {"number": [0]})
    report = again.import_parquet(tmp_path / "many.parquet")
    assert (report.added, report.updated, report.unchanged) == (0, 1, 999)
    assert vectors_of(again) == before


def test_vectors_of_another_model_are_refused(shop: Path, catalog: Catalog, tmp_path: Path) -> None:
    with Catalog.open(shop) as opened:
        opened.export(tmp_path / "shop.parquet", filter="price < 2")
    catalog.export(tmp_path / "vectors.parquet")
    with pytest.raises(ModelMismatch, match="compact"):
        catalog.import_parquet(tmp_path / "shop.parquet")
    shutil.copytree(shop, tmp_path / "copied")
    with Catalog.open(tmp_path / "copied") as copied, pytest.raises(ModelMismatch, match="compact"):
        copied.import_parquet(tmp_path / "vectors.parquet")
    pl.DataFrame({"key": ["a"], "vector": [[1.0] * 512]}).write_parquet(tmp_path / "other.parquet")
    with Catalog.open(tmp_path / "copied") as copied, pytest.raises(ModelMismatch, match="new catalog"):
        copied.import_parquet(tmp_path / "other.parquet")
    with (
        Catalog.create(tmp_path / "wide", dim=DIM + 1) as wide,
        pytest.raises(UsageError, match="dimension"),
    ):
        wide.import_parquet(tmp_path / "vectors.parquet")
    facts = orjson.loads((tmp_path / "copied" / "catalog.json").read_bytes())
    facts["model"]["weights_sha256"] = "0" * 64
    (tmp_path / "copied" / "catalog.json").write_bytes(orjson.dumps(facts))
    with Catalog.open(tmp_path / "copied") as copied, pytest.raises(ModelMismatch, match="other weights"):
        copied.import_parquet(tmp_path / "shop.parquet")
    assert CatalogFile.for_model(load_encoder("compact").spec).model is not None


@pytest.mark.parametrize("vector_type", [pl.List(pl.Float64), pl.Array(pl.Float32, 3), pl.List(pl.Int64)])
def test_anybodys_file_with_keys_and_vectors_is_read(tmp_path: Path, vector_type: pl.DataType) -> None:
    frame = pl.DataFrame(
        {
            "ID": [1, 2, 3],
            "Embedding": pl.Series([[3, 0, 4], [0, 2, 0], [0, 0, 1]], dtype=vector_type),
            "name": ["one", None, "three"],
            "key": ["x", "y", "z"],
            "when": [datetime(2026, 1, 1), None, None],
            "cost": pl.Series(["1.50", "2.25", None]).cast(pl.Decimal(10, 2)),
            "tags": [["a"], [], None],
            "facts": [{"a": 1}, {"a": 2}, None],
        }
    ).drop("key")
    frame.write_parquet(tmp_path / "theirs.parquet")
    with taken_in(tmp_path / "theirs.parquet", tmp_path / "again") as again:
        assert again._core.file.spaces["image"].dim == 3
        one, two, _ = again.get(["1", "2", "3"])
        assert (one.title, two.title) == ("one", None)
        assert one.fields == {
            "when": datetime(2026, 1, 1, tzinfo=UTC),
            "cost": 1.5,
            "tags": ["a"],
            "facts": {"a": 1},
        }
        assert again.search(vector=[0, 1, 0], limit=1).keys == ["2"]
        np.testing.assert_allclose(np.frombuffer(vectors_of(again)["1"], dtype=np.float16), [0.6, 0, 0.8], atol=1e-3)
        assert again.verify().problems == []
        assert again.import_parquet(tmp_path / "theirs.parquet").unchanged == 3


def test_a_bad_row_is_listed_and_the_rest_is_taken(tmp_path: Path) -> None:
    vectors = [[1.0, 0], [1.0], None, [float("nan"), 0], [0.0, 0], [0, 1.0], [1.0, 1], [None, 1.0], [1e39, 1.0]]
    keys = ["a", "b", "c", "d", "e", "a", None, "h", "i"]
    pl.DataFrame(
        {"key": keys, "vector": vectors}, schema={"key": pl.String, "vector": pl.List(pl.Float64)}
    ).write_parquet(tmp_path / "theirs.parquet")
    make(tmp_path / "again", open_vector_table(tmp_path / "theirs.parquet").catalog_file(Metric.IP))
    with Catalog.open(tmp_path / "again") as again:
        report = again.import_parquet(tmp_path / "theirs.parquet")
        assert again.keys(["a", "b", "e"]) == ["a", "e"]
        assert [(one.row, one.key) for one in report.rejects] == [
            (2, "b"),
            (3, "c"),
            (4, "d"),
            (6, "a"),
            (7, None),
            (8, "h"),
            (9, "i"),
        ]
        reasons = " ".join(one.reason for one in report.rejects)
        for words in ("1 value;", "no vector", "finite", "occurred before", "key is empty"):
            assert words in reasons
        assert len(list(again.ledger(state="rejected"))) == 7
        again.export(tmp_path / "out.parquet")
    with taken_in(tmp_path / "out.parquet", tmp_path / "third") as third:
        assert third._core.file.spaces["image"].metric is Metric.IP


def test_files_without_keys_or_vectors_are_refused(tmp_path: Path) -> None:
    pl.DataFrame({"key": ["a"], "price": [1]}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"vector": [[1.0]]}).write_parquet(tmp_path / "b.parquet")
    (tmp_path / "c.parquet").write_text("key,vector")
    for name in "abcd":
        with pytest.raises(FeedError):
            open_vector_table(tmp_path / f"{name}.parquet")
    pl.DataFrame({"key": ["a"], "vector": [[1.0]]}).write_parquet(
        tmp_path / "e.parquet", metadata={"lookalike": '{"format": 2}'}
    )
    with pytest.raises(FeedError, match="format 2"):
        open_vector_table(tmp_path / "e.parquet")


def test_changed_vectors_in_an_exported_file_are_made_unit_again(catalog: Catalog, tmp_path: Path) -> None:
    catalog.export(tmp_path / "out.parquet")
    metadata = pl.read_parquet_metadata(tmp_path / "out.parquet")
    frame = pl.read_parquet(tmp_path / "out.parquet")
    scaled = pl.Series("vector", frame["vector"].to_numpy() * 3, dtype=pl.Array(pl.Float32, DIM))
    frame.with_columns(scaled).write_parquet(tmp_path / "scaled.parquet", metadata={"lookalike": metadata["lookalike"]})
    with taken_in(tmp_path / "scaled.parquet", tmp_path / "again") as again:
        assert again.verify().problems == []
        assert again.search(vector=np.ones(DIM)).keys == catalog.search(vector=np.ones(DIM)).keys


@pytest.mark.slow
def test_a_file_that_does_not_fit_is_not_left(tmp_path: Path) -> None:
    with Catalog.create(tmp_path / "big", dim=512) as catalog:
        catalog.add_vectors([str(number) for number in range(2000)], RANDOM.standard_normal((2000, 512)))
    done = subprocess.run(
        [sys.executable, "-m", "lookalike", "export", str(tmp_path / "big"), str(tmp_path / "out.parquet")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000)),
    )
    assert done.returncode == 1, done.stderr
    assert "cannot be written to" in " ".join(done.stderr.split())
    assert {path.name for path in tmp_path.iterdir()} == {"big"}


def test_the_commands_export_and_import(catalog: Catalog, tmp_path: Path) -> None:
    made = call_json("export", tmp_path / "vectors", tmp_path / "out.parquet", "--filter", "stock is not null")
    assert made["items"] == 4
    call("export", tmp_path / "vectors", tmp_path / "plain.parquet", "--no-vectors")
    counts = call_json("import", tmp_path / "out.parquet", tmp_path / "again")
    assert counts == {"added": 4, "updated": 0, "unchanged": 0, "rejected": 0, "rejects": []}
    call("import", tmp_path / "out.parquet", tmp_path / "again")
    with Catalog.open(tmp_path / "again") as again:
        assert again.info().generation
        assert again.count() == 4
    call("import", tmp_path / "plain.parquet", tmp_path / "x", code=1)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("model", [None, "compact"])
@pytest.mark.parametrize("vectors", [True, False])
def test_an_export_without_rows_is_imported_with_every_field_and_its_type(
    tmp_path: Path, model: str | None, vectors: bool
) -> None:
    dim = None if model else DIM
    path = tmp_path / "nothing.parquet"
    with Catalog.create(tmp_path / "empty", model=model, dim=dim) as empty:
        for kind in FieldType:
            empty.add_field(kind.value, kind)
        assert empty.export(path, vectors=vectors) == 0
    with Catalog.create(tmp_path / "again", model=model, dim=dim) as again:
        report = again.import_parquet(path)
        assert (report.added, report.updated, report.unchanged, report.rejects) == (0, 0, 0, [])
        assert again.info().fields == {kind.value: kind for kind in FieldType}
        commits = len(again.log())
        again.import_parquet(path)
        assert len(again.log()) == commits


def test_a_filter_that_nothing_satisfies_exports_what_is_imported_again(tmp_path: Path) -> None:
    path = tmp_path / "nothing.parquet"
    with Catalog.create(tmp_path / "shop", dim=DIM) as shop:
        shop.add_vectors(["a"], np.ones((1, DIM)), {"price": [1], "brand": ["x"]})
        assert shop.export(path, filter="price > 1") == 0
    assert call_json("import", path, tmp_path / "new")["added"] == 0
    with Catalog.open(tmp_path / "new") as new:
        assert new.info().fields == {"price": "int", "brand": "string"}
        new.add_field("empty", "bool")
        new.add_vectors(["b"], np.ones((1, DIM)), {"price": [None], "brand": ["y"]})
        new.export(tmp_path / "one.parquet")
    with Catalog.create(tmp_path / "again", dim=DIM) as again:
        again.import_parquet(tmp_path / "one.parquet")
        assert again.info().fields == {"price": "int", "brand": "string", "empty": "bool"}


def test_the_types_of_anothers_columns_come_from_the_file(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "id": [1, 2],
            "vector": [[1.0] * DIM] * 2,
            "seen": pl.Series([None, None], dtype=pl.Datetime("ms")),
            "stock": pl.Series([None, None], dtype=pl.UInt8),
            "colour": pl.Series(["red", None], dtype=pl.Categorical),
            "nothing": pl.Series([None, None]),
        }
    )
    frame.write_parquet(tmp_path / "theirs.parquet")
    with Catalog.create(tmp_path / "shop", dim=DIM) as shop:
        shop.import_parquet(tmp_path / "theirs.parquet")
        assert shop.info().fields == {"seen": "timestamp", "stock": "int", "colour": "string"}


def test_of_imported_rows_with_one_key_the_first_counts_even_if_it_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    vectors = [[1.0, 0.0], [0.0, 1.0]]
    pl.DataFrame({"key": ["a", "b", "a"], "vector": [[0.0, 0.0], *vectors], "n": [7, 8, 9]}).write_parquet(path)
    with Catalog.create(tmp_path / "shop", dim=2) as catalog:
        catalog.add_vectors(["a"], vectors[:1], {"n": [1]})
        report = catalog.import_parquet(path)
        assert (report.added, report.updated) == (1, 0)
        assert [(one.row, one.key, one.repeated) for one in report.rejects] == [(1, "a", False), (3, "a", True)]
        assert catalog.get("a")[0].fields == {"n": 1}


@pytest.mark.parametrize("name", ["out.csv", "out.JSONL", "out.xlsx", "out.tar.gz"])
def test_an_export_under_the_name_of_another_format_is_refused(tmp_path: Path, name: str) -> None:
    with Catalog.create(tmp_path / "shop", dim=DIM) as shop:
        shop.add_vectors(["a"], np.ones((1, DIM), dtype=np.float32))
        with pytest.raises(UsageError, match=f"Parquet file, and {name}") as refused:
            shop.export(tmp_path / name)
        assert refused.value.remedy.startswith(f"Export to {(tmp_path / name).with_suffix('.parquet')}.")
        assert not (tmp_path / name).exists()
        assert [shop.export(tmp_path / one) for one in ("a.parquet", "b.pq", "c", "shop.2026-06")] == [1] * 4


@pytest.mark.parametrize("name", ["shop.zip", "shop.tar.gz", "shop.TGZ"])
def test_a_backup_under_the_name_of_another_archive_is_refused(tmp_path: Path, name: str) -> None:
    with Catalog.create(tmp_path / "shop", dim=DIM) as shop:
        with pytest.raises(UsageError, match=f"{name} would be neither"):
            shop.backup(tmp_path / name)
        assert not (tmp_path / name).exists()
        (tmp_path / name).mkdir()  # made by an earlier version
        shop.backup(tmp_path / name)
        assert len(list_snapshots(tmp_path / name)) == 1


def test_the_import_of_a_feed_names_the_command_that_reads_it(tmp_path: Path) -> None:
    (tmp_path / "feed.csv").write_text("key,image\na,a.png\n")
    shown = " ".join(call("import", tmp_path / "feed.csv", tmp_path / "x", code=1).split())
    assert "read it with: lookalike index CATALOG SOURCE" in shown

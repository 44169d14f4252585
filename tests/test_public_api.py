"""Calls that a user of the package makes, and what they expect."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import lookalike
from lookalike import (
    Catalog,
    CatalogNotFound,
    FeedError,
    FieldType,
    ItemNotFound,
    ModalityUnsupported,
    ModelMismatch,
    UsageError,
)
from tests.conftest import ROOT
from tests.fakes import ColourEncoder

ROWS = np.random.default_rng(3).standard_normal((20, 4)).astype(np.float32)
RED, GREEN, BLUE = (Image.new("RGB", (32, 32), colour) for colour in ("red", "green", "blue"))


@pytest.fixture
def vectors(tmp_path: Path) -> Catalog:
    catalog = Catalog.create(tmp_path / "vectors", dim=4)
    catalog.add_vectors(
        [f"k{number}" for number in range(20)], ROWS, {"price": list(range(20)), "brand": ["a", "b"] * 10}
    )
    return catalog


@pytest.fixture
def shop(tmp_path: Path, encoder: ColourEncoder) -> Catalog:
    return Catalog.create(tmp_path / "shop", model="colour")


def test_the_subject_of_a_call_is_positional(vectors: Catalog, shop: Catalog) -> None:
    assert vectors.count("price < 5") == 5
    assert len(list(vectors.items("price < 5"))) == 5
    assert [facet.name for facet in vectors.facets("brand")] == ["brand"]
    assert vectors.delete(["k0", "k1"]) == 2
    shop.add([{"key": "r", "image": RED}, {"key": "g", "image": GREEN}])
    assert shop.search("red", limit=1).keys == ["r"]


def test_parameters_are_taken_wherever_a_filter_is(vectors: Catalog, tmp_path: Path) -> None:
    given = {"filter": "price < {most}", "params": {"most": 5}}
    assert vectors.count(**given) == 5  # type: ignore[arg-type]
    assert len(list(vectors.items(**given))) == 5  # type: ignore[arg-type]
    assert len(vectors.search(vector=ROWS[0], limit=20, **given)) == 5  # type: ignore[arg-type]
    assert [len(one) for one in vectors.search_many(ROWS[:2], limit=20, **given)] == [5, 5]  # type: ignore[arg-type]
    (facet,) = vectors.facets("brand", **given)  # type: ignore[arg-type]
    assert sum(count for _, count in facet.values) == 5
    assert vectors.export(tmp_path / "some.parquet", **given) == 5  # type: ignore[arg-type]
    assert vectors.delete(**given) == 5  # type: ignore[arg-type]


def test_what_is_like_may_be_one_key_or_any_collection_of_keys(vectors: Catalog) -> None:
    expected = vectors.search(like=["k1", "k2"]).keys
    for keys in (("k1", "k2"), np.array(["k1", "k2"]), pl.Series(["k1", "k2"]), (f"k{n}" for n in (1, 2))):
        assert vectors.search(like=keys).keys == expected
    assert set(vectors.search(like={"k1", "k2"}).keys) == set(expected)
    assert "k1" not in vectors.search(like="k1").keys
    with pytest.raises(UsageError, match="a search takes one"):
        vectors.search(vector=ROWS[:2])


def test_a_catalogue_is_a_collection(vectors: Catalog) -> None:
    assert len(vectors) == 20 and "k3" in vectors and "x" not in vectors and 7 not in vectors
    assert [item.key for item in vectors][:2] == ["k0", "k1"]
    assert bool(vectors) and dict(vectors.schema) == {"price": FieldType.INT, "brand": FieldType.STRING}
    assert repr(vectors) == f"Catalog({str(vectors.path)!r}: 20 items, no model)"
    vectors.delete(filter="price >= 0")
    assert len(vectors) == 0 and bool(vectors)
    vectors.close()
    assert "closed" in repr(vectors)


def test_it_is_opened_or_created_and_never_mistaken_for_another(tmp_path: Path, encoder: ColourEncoder) -> None:
    with pytest.raises(CatalogNotFound):
        Catalog.open(tmp_path / "none")
    with Catalog.open_or_create(tmp_path / "new", dim=4) as made:
        made.add_vectors(["a"], ROWS[:1])
    with Catalog.open_or_create(tmp_path / "new", dim=4) as found:
        assert len(found) == 1
    with pytest.raises(UsageError, match="holds vectors of 4 numbers"):
        Catalog.open_or_create(tmp_path / "new", dim=5)
    with pytest.raises(UsageError, match="compared by cosine"):
        Catalog.open_or_create(tmp_path / "new", dim=4, metric="l2")
    with pytest.raises((UsageError, ModelMismatch)):
        Catalog.open_or_create(tmp_path / "new", model="colour")
    Catalog.open_or_create(tmp_path / "seen", model="colour").close()
    with Catalog.open_or_create(tmp_path / "seen", model="colour") as again:
        assert again.models == "colour"


@dataclass
class Product:
    sku: str
    photo: object
    name: str
    price: float


def test_rows_are_added_with_pictures_in_any_form(shop: Catalog, tmp_path: Path) -> None:
    BLUE.save(tmp_path / "blue.png")
    report = shop.add(
        [
            {"key": "path", "image": tmp_path / "blue.png", "title": "a", "price": 1},
            {"key": "text", "image": str(tmp_path / "blue.png"), "price": 2},
            {"key": "bytes", "image": (tmp_path / "blue.png").read_bytes()},
            {"key": "pillow", "image": RED},
            {"key": "array", "image": np.asarray(GREEN)},
            {"key": 6, "image": [RED, np.asarray(GREEN)], "price": np.float32(3)},
        ]
    )
    assert (report.added, report.rejected) == (6, 0)
    assert sorted(shop.search(image=BLUE, limit=3).keys) == ["bytes", "path", "text"]
    assert shop.search("red", limit=2).keys == ["pillow", "6"]
    (item,) = shop.get("6")
    assert len(item.images) == 2 and item.fields["price"] == 3.0
    again = shop.add([Product("array", BLUE, "New", 9.5)], key="sku", image="photo", title="name")
    assert again.updated == 1 and shop.get("array")[0].title == "New"


def test_a_bad_row_is_in_the_report_and_in_the_ledger(shop: Catalog, tmp_path: Path) -> None:
    report = shop.add(
        [
            {"key": "a", "image": RED, "price": 1},
            {"key": "b", "image": b"no picture", "price": 2},
            {"key": "c", "image": tmp_path / "gone.png", "price": 3},
            {"key": "a", "image": BLUE, "price": 4},
            {"image": BLUE, "price": 5},
        ]
    )
    assert (report.added, report.rejected) == (1, 4)
    entries = list(shop.ledger(state="rejected", feed="add"))
    assert [entry.row for entry in entries] == [2, 3, 4, 5] and all(entry.reason for entry in entries)
    assert shop.search(image=RED, limit=1).keys == ["a"] and len(shop) == 1
    with pytest.raises(FeedError, match=r"Row 2 is int"):
        shop.add([{"key": "a", "image": RED}, 5])
    with pytest.raises(FeedError, match="no column for pictures"):
        shop.add([{"key": "a"}])


def test_a_catalogue_of_ready_vectors_takes_no_pictures(vectors: Catalog) -> None:
    with pytest.raises(ModalityUnsupported, match="ready vectors"):
        vectors.add([{"key": "a", "image": RED}])


def test_results_are_a_table(vectors: Catalog) -> None:
    results = vectors.search(vector=ROWS[3], filter="price < 12", limit=12)
    table = results.to_polars()
    assert table.columns == ["key", "score", "score_vector", "title", "price", "brand"] and table.height == 12
    assert table["key"].to_list() == results.keys and table["price"].to_list() == list(results.values("price"))
    first = results.to_dicts()[0]
    score = first["score"]
    assert first == {"key": "k3", "score": score, "score_vector": score, "title": None, "price": 3, "brand": "b"}
    lines = repr(results).splitlines()
    assert lines[0].startswith("Results(12 of 12 items") and len(lines) == 13 and lines[-1] == "... 2 more"
    assert lines[2].split()[0] == "k3"
    assert repr(vectors.search(filter="price > 99")).startswith("Results(0 of 0 items")


def test_a_feed_is_indexed_searched_and_judged(shop: Catalog, tmp_path: Path) -> None:
    for name, picture in (("red", RED), ("green", GREEN), ("blue", BLUE)):
        picture.save(tmp_path / f"{name}.png")
    (tmp_path / "feed.csv").write_text("key,image,price\nr,red.png,1\ng,green.png,2\nb,blue.png,3\n")
    planned = list(shop.dry_run(tmp_path / "feed.csv"))
    assert len(planned) == 3 and len(shop) == 0
    reports = list(shop.index(tmp_path / "feed.csv"))
    assert reports[-1].added == 3 and len(shop) == 3
    assert shop.index(tmp_path / "feed.csv").finish().unchanged == 3
    (tmp_path / "queries.csv").write_text("text,relevant\nred,r\ngreen,g\nblue,b\n")
    assert shop.evaluate(tmp_path / "queries.csv").recall_at_1 == 1.0
    with pytest.raises(ItemNotFound):
        shop.get("x")


def test_the_face_of_the_package_is_sorted_and_true() -> None:
    assert lookalike.__all__ == sorted(lookalike.__all__, key=lambda name: (not name.isupper(), name.islower(), name))
    tree = ast.parse((ROOT / "lookalike" / "__init__.py").read_text())
    imports = [one for one in ast.walk(tree) if isinstance(one, ast.ImportFrom) and "lookalike." in (one.module or "")]
    typed = {alias.asname: f"{one.module}.{alias.name}" for one in imports for alias in one.names}
    assert typed == {name: f"lookalike.{home}.{name}" for name, home in lookalike._HOME_OF.items()}
    assert set(lookalike.__all__) == set(typed)
    assert all(getattr(lookalike, name).__name__ == name for name in lookalike.__all__)
    assert dir(lookalike) == lookalike.__all__
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        lookalike.Nothing  # type: ignore[attr-defined]  # noqa: B018


def test_only_the_public_face_of_a_catalogue_is_used_by_the_ways_in() -> None:
    reaches = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sorted((ROOT / "ui").rglob("*.py"))
        for line in path.read_text().splitlines()
        if "._core" in line
    ]
    assert reaches == []


HOSTILE = ("models.py", "data.py", "retrieval.py", "ui/__init__.py", "errors.py")
USER_SCRIPT = """
import models, data, retrieval, ui
import numpy as np
from lookalike import Catalog
with Catalog.create("shop", dim=4) as catalog:
    catalog.add_vectors(["a", "b"], np.eye(4)[:2], {"price": [1, 2]})
    catalog.optimize()
    assert catalog.search(vector=np.eye(4)[0], filter="price < 2").keys == ["a"]
assert {module.WHOSE for module in (models, data, retrieval, ui)} == {"mine"}
import sys
print(sorted(name for name in sys.modules if name.split(".")[0] in ("models", "data", "retrieval", "ui")))
"""


def run_beside_hostile_modules(folder: Path, path: str) -> None:
    for name in HOSTILE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('WHOSE = "mine"\n')
    (folder / "script.py").write_text(USER_SCRIPT)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['data', 'models', 'retrieval', 'ui']"


def test_a_users_own_modules_of_the_same_names_do_no_harm_beside_the_checkout(tmp_path: Path) -> None:
    run_beside_hostile_modules(tmp_path, str(ROOT))


@pytest.mark.slow
def test_the_wheel_installs_one_name_and_works_beside_a_users_own_modules(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheel = [*pip, "wheel", "--no-deps", "--wheel-dir", str(tmp_path / "dist"), str(ROOT)]
    subprocess.run(wheel, check=True, capture_output=True, timeout=300)
    (built,) = (tmp_path / "dist").glob("*.whl")
    site = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(built)], check=True, timeout=300)
    assert {path.name for path in site.iterdir()} - {"bin"} == {"lookalike", f"{built.name.split('-py3')[0]}.dist-info"}
    inside = {str(path.relative_to(site)) for path in (site / "lookalike").rglob("*") if path.is_file()}
    for needed in (
        "lookalike/py.typed",
        "lookalike/data/sample/catalog.csv",
        "lookalike/models/compact/compact.npz",
        "lookalike/retrieval/filters/grammar.lark",
        "lookalike/ui/page/static/page.js",
    ):
        assert needed in inside
    assert not any("training" in name or "sample_tools" in name for name in inside)
    (tmp_path / "user").mkdir()
    run_beside_hostile_modules(tmp_path / "user", str(site))


TYPED_SCRIPT = """
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lookalike import Catalog, Facet, FieldType, Hit, LedgerEntry, Query, Results, UsageError


def keys(results: Results) -> list[str]:
    return [hit.key for hit in results if hit.score > 0.5]


def main(path: Path) -> None:
    with Catalog.open_or_create(path, dim=4) as catalog:
        commit: int = catalog.add_vectors(["a"], np.eye(4)[:1], {"price": [1.5]}, titles=["A"])
        results = catalog.search("red", vector=np.eye(4)[0], filter="price < {most}", params={"most": 3}, limit=5)
        first: Hit = results[0]
        names: list[str] = keys(results)
        facets: list[Facet] = catalog.facets("price", params=None)
        kind: FieldType = catalog.schema["price"]
        entries: Iterator[LedgerEntry] = catalog.ledger()
        query = Query(text=["red"], limit=3)
        try:
            report = catalog.add([{"key": "b", "image": b""}])
        except UsageError as error:
            print(error, commit, first, names, facets, kind, entries, query)
        else:
            print(report.added, len(catalog), "a" in catalog)
"""


@pytest.mark.slow
def test_a_users_script_is_typed(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(TYPED_SCRIPT)
    command = [sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports", "script.py"]
    environment = os.environ | {"MYPYPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "script.py" not in done.stdout, done.stdout
    wrong = TYPED_SCRIPT.replace("commit: int", "commit: str").replace("import Catalog", "import Catalogue, Catalog")
    (tmp_path / "script.py").write_text(wrong)
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert re.findall(r"^script\.py.*\[(.*)\]$", done.stdout, re.MULTILINE) == ["attr-defined", "assignment"]

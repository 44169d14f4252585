from __future__ import annotations

import inspect
import io
import json
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from lookalike import Catalog
from lookalike.ui.cli.demo_command import demo
from tests.running import call, call_json

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "data" / "sample"


def sample_rows() -> pl.DataFrame:
    return pl.read_csv(SAMPLE / "catalog.csv")


def test_words_find_a_cup_of_coffee(shop: Path) -> None:
    found = call_json("search", shop, "a cup of coffee")
    titles = [hit["fields"]["title"].lower() for hit in found["hits"]]
    assert len(found["hits"]) == 10
    assert sum(any(word in title for word in ("coffee", "cup", "mug", "tea")) for title in titles[:5]) >= 4
    assert set(found) >= {"hits", "exact", "plan", "took_ms"}
    assert set(found["hits"][0]) >= {"key", "score", "scores", "image", "fields"}
    assert found["exact"] is True


def test_every_hit_satisfies_the_filter(shop: Path) -> None:
    found = call_json("search", shop, "a cup of coffee", "--filter", 'category == "food" and price < 20')
    assert found["hits"]
    assert found["total"] == sample_rows().filter((pl.col("category") == "food") & (pl.col("price") < 20)).height
    for hit in found["hits"]:
        assert hit["fields"]["category"] == "food"
        assert hit["fields"]["price"] < 20


def distorted(path: Path) -> bytes:
    """Crop 15% away, turn by 8 degrees, save as a poor JPEG."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    width, height = picture.size
    cut_x, cut_y = round(width * 0.075), round(height * 0.075)
    cropped = picture.crop((cut_x, cut_y, width - cut_x, height - cut_y))
    buffer = io.BytesIO()
    cropped.rotate(8, expand=True, fillcolor="white").save(buffer, "JPEG", quality=35)
    return buffer.getvalue()


def test_a_distorted_copy_finds_its_own_picture_first(shop: Path, tmp_path: Path) -> None:
    rows = sample_rows()
    chosen = rows.gather_every(max(rows.height // 100, 1)).head(100)
    first = 0
    with Catalog.open(shop) as catalog:
        for key, images in chosen.select("key", "image").iter_rows():
            content = distorted(SAMPLE / images.split("|")[0])
            first += catalog.search(image=content, limit=1).keys == [key]
    assert first >= 95
    (tmp_path / "copy.jpg").write_bytes(content)
    assert call_json("search", shop, "--image", tmp_path / "copy.jpg")["hits"][0]["key"] == key


def test_like_finds_others_of_its_kind(shop: Path) -> None:
    rows = sample_rows()
    key = rows.filter(pl.col("category") == "food")["key"][0]
    hits = call_json("search", shop, "--like", key)["hits"]
    assert key not in [hit["key"] for hit in hits]
    assert len(hits) == 10


def test_a_terminal_gets_a_table(shop: Path) -> None:
    shown = call("search", shop, "a cup of coffee", "--limit", 3)
    assert "score" in shown
    assert "exact" in shown
    assert "No item satisfies the filter" in call("search", shop, "x", "--filter", "price > 1e9")


def test_indexing_again_changes_nothing_and_says_so(shop: Path) -> None:
    report = call_json("index", shop, SAMPLE / "catalog.csv")
    assert (report["added"], report["updated"], report["rejected"]) == (0, 0, 0)
    assert report["unchanged"] == sample_rows().height
    assert set(report) == {
        "added", "updated", "unchanged", "renamed", "deleted", "missing", "rejected", "warnings", "seconds",
        "images_per_second",
        "fetched", "fetched_bytes", "rejects",
    }  # fmt: skip


def test_several_sources_are_one_run_and_told_apart(shop: Path, tmp_path: Path) -> None:
    shop = Path(shutil.copytree(shop, tmp_path / "shop"))
    pictures = sorted((SAMPLE / "pictures").iterdir())[:4]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(pictures[0], "from-a-zip.webp")
        archive.writestr("no.webp", b"no picture")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "from-a-folder.webp").write_bytes(pictures[1].read_bytes())
    (tmp_path / "folder" / "from-a-zip.webp").write_bytes(pictures[2].read_bytes())
    found = call_json("index", shop, tmp_path / "a.zip", tmp_path / "folder")
    assert (found["added"], found["rejected"]) == (2, 2)
    assert [(one["feed"], one["key"]) for one in found["rejects"]] == [
        ("a.zip", "no.webp"),
        ("folder", "from-a-zip.webp"),
    ]
    shown = call("index", shop, tmp_path / "a.zip", tmp_path / "folder")
    assert "a.zip: 0 added" in shown
    assert "folder: 0 added, 0 updated, 1 unchanged, 1 rejected" in shown
    assert "one source" in call("index", shop, tmp_path / "a.zip", tmp_path / "folder", "--watch", code=2)


@pytest.mark.weights
def test_watching_follows_a_folder_until_it_is_interrupted(tmp_path: Path) -> None:
    pictures = sorted((SAMPLE / "pictures").iterdir())[:2]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.webp").write_bytes(pictures[0].read_bytes())
    command = [
        sys.executable,
        "-m",
        "lookalike",
        "index",
        str(tmp_path / "shop"),
        str(tmp_path / "photos"),
        "--watch",
    ]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    late = threading.Timer(120, process.kill)
    late.start()
    try:
        assert process.stderr is not None
        lines = iter(process.stderr)
        assert any("Watching photos" in line for line in lines)
        (tmp_path / "photos" / "two.webp").write_bytes(pictures[1].read_bytes())
        assert any("1 added" in line for line in lines)
        (tmp_path / "photos" / "one.webp").unlink()
        assert any("1 removed" in line for line in lines)
        process.send_signal(signal.SIGINT)
        assert any("Stopped watching" in line for line in lines)
        assert process.wait() == 0
    finally:
        late.cancel()
        process.kill()
        process.communicate()
    assert call_json("info", tmp_path / "shop")["items"] == 1


def test_info_evaluate_delete_and_optimize(shop: Path, tmp_path: Path) -> None:
    info = call_json("info", shop)
    assert set(info) >= {"items", "vectors", "model", "dim", "generation", "tail", "bytes_on_disk"}
    assert info["items"] == sample_rows().height
    assert info["model"] == "compact"
    rows = sample_rows().head(30)
    queries = tmp_path / "queries.csv"
    rows.select(text=pl.col("title"), relevant=pl.col("key")).write_csv(queries)
    measured = call_json("evaluate", shop, queries)
    assert set(measured) >= {"queries", "recall@1", "recall@5", "recall@10", "mrr", "ndcg@10", "p50_ms", "p95_ms"}
    assert measured["queries"] == 30
    assert measured["recall@10"] > 0.9
    assert "recall@10" in call("evaluate", shop, queries)
    assert "items" in call("info", shop)


@pytest.mark.weights
def test_a_small_catalogue_can_be_made_searched_and_emptied(tmp_path: Path) -> None:
    rows = sample_rows().head(4).with_columns(image=str(SAMPLE) + "/" + pl.col("image").str.split("|").list.first())
    rows.write_csv(tmp_path / "feed.csv")
    report = call_json("index", tmp_path / "shop", tmp_path / "feed.csv", "--model", "compact")
    assert report["added"] == 4
    hits = call_json("search", tmp_path / "shop", "anything")["hits"]
    assert not any(str(ROOT) in json.dumps(hit) for hit in hits)
    assert call_json("delete", tmp_path / "shop", hits[0]["key"]) == {"deleted": 1}
    assert call_json("delete", tmp_path / "shop", "--filter", "price > 0") == {"deleted": 3}
    assert call_json("optimize", tmp_path / "shop")["generation"]
    assert call_json("search", tmp_path / "shop", "anything")["hits"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("search", "{none}", "x"), 1, "There is no catalog"),
        (("search", "{shop}", "x", "--filter", "pric < 3"), 2, "pric"),
        (("search", "{shop}", "x", "--filter", "price <"), 2, "price <"),
        (("search", "{shop}", "x", "--limit", "0"), 2, "limit"),
        (("search", "{shop}", "--like", "nobody"), 1, "nobody"),
        (("search", "{shop}", "--image", "{none}"), 1, "no such file"),
        (("search", "{shop}", "--nonsense"), 2, "nonsense"),
        (("delete", "{shop}"), 2, "what to delete"),
        (("index", "{shop}", "{none}"), 1, "no feed"),
        (("index", "{new}", "{none}"), 1, "no feed"),
        (("index", "{new}", "{sample}", "--model", "gpt"), 2, "gpt"),
        (("index", "{shop}", "{sample}", "--model", "resnet50"), 2, "made with the model compact"),
        (("evaluate", "{shop}", "{none}"), 1, "no file of queries"),
        (("search", "{shop}", "\udcff"), 2, "not text"),
        (("search", "{shop}", "--like", "\udcff"), 1, "no item"),
        (("delete", "{shop}", "a", "--filter", "price == 1"), 2, "either keys, or a filter"),
        (("delete", "{shop}", "--filter", ""), 2, "name the items to delete"),
        (("search", "{shop}", "x", "--filter", "in stock == true"), 2, "in stock"),
    ],
)
def test_a_mistake_gets_a_sentence_and_an_exit_code(
    shop: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    places = {"none": tmp_path / "none", "shop": shop, "new": tmp_path / "new", "sample": SAMPLE / "catalog.csv"}
    shown = call(*[argument.format(**places) for argument in arguments], code=code)
    assert sentence in " ".join(shown.split())
    assert "Traceback" not in shown
    assert not (tmp_path / "new").exists()


def test_another_model_is_refused_with_what_mends_it(shop: Path) -> None:
    path = shop / "catalog.json"
    text = path.read_text()
    try:
        path.write_text(text.replace('"preprocessing": "', '"preprocessing": "other-'))
        shown = call("search", shop, "a cup", code=1)
    finally:
        path.write_text(text)
    assert "Vectors of two models cannot be compared" in " ".join(shown.split())
    assert "lookalike index NEW SOURCE --model compact" in " ".join(shown.split())


def test_the_demo_runs_offline_from_a_bare_shell(demo: tuple[Path, str]) -> None:
    folder, printed = demo
    assert '"hits"' in printed
    with Catalog.open(folder) as catalog:
        assert catalog.count() == sample_rows().height
        assert catalog.info().generation


def test_git_leaves_out_the_catalog_that_the_demo_makes() -> None:
    assert "/lookalike-demo/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert str(inspect.signature(demo).parameters["folder"].default) == "lookalike-demo"

"""Catalogs made with models of one's own, from the command line to the page."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import timm
import torch
from safetensors.torch import save_file
from starlette.testclient import TestClient
from typer.testing import CliRunner

from lookalike import Catalog
from lookalike.data.errors import ModelMismatch, WeightsUnavailable
from lookalike.ui.cli.main import app
from lookalike.ui.page.handlers import Handlers
from lookalike.ui.page.uploads import Uploads
from lookalike.ui.server.metrics import Metrics
from lookalike.ui.server.server import create_app
from tests.checkpoints import TEXTS, TINY, save_folder, save_tokenizer
from tests.hub import Hub
from tests.running import call_json

pytestmark = pytest.mark.weights

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "data" / "sample"


def call(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = pl.read_csv(SAMPLE / "catalog.csv").head(24)
    path = tmp_path_factory.mktemp("feed") / "feed.csv"
    rows.with_columns(image=str(SAMPLE) + "/" + pl.col("image").str.split("|").list.first()).write_csv(path)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "shop-clip"
    save_folder(folder, TINY)
    return folder


@pytest.fixture
def shop(tmp_path: Path, feed: Path, clip: Path) -> Path:
    assert call_json("index", tmp_path / "shop", feed, "--model", clip)["added"] == 24
    return tmp_path / "shop"


def test_a_folder_of_weights_indexes_and_searches_by_picture_and_words(shop: Path, feed: Path, clip: Path) -> None:
    key, image = pl.read_csv(feed).select("key", "image").row(5)
    assert call_json("search", shop, "--image", image, "--limit", 1)["hits"][0]["key"] == key
    assert len(call_json("search", shop, "a cup of coffee")["hits"]) == 10
    long = call_json("search", shop, "a cup of coffee " * 10)
    assert long["notices"] == ["The model reads only the first 16 tokens of a text; the end of yours was not read."]
    assert "first 16 tokens" in call("search", shop, "a cup of coffee " * 10)
    assert call_json("info", shop)["model"] == "local:shop-clip"
    assert call_json("index", shop, feed, "--model", clip)["unchanged"] == 24
    assert "made with the model local:shop-clip, not compact" in call("index", shop, feed, "--model", "compact", code=2)


def test_the_place_of_the_weights_stays_on_this_machine(shop: Path, clip: Path) -> None:
    assert str(clip) in (shop / "catalog.json").read_text()
    with Catalog.open(shop) as catalog, TestClient(create_app(catalog), raise_server_exceptions=False) as client:
        answers = [
            client.post("/api/v1/search", json={"text": "a cup"}),
            *map(client.get, ("/", "/metrics", "/healthz")),
        ]
        assert [answer.status_code for answer in answers] == [200] * 4
        assert not any(str(clip.parent) in answer.text for answer in answers)
        catalog.export(shop.parent / "shop.parquet")
    assert str(clip.parent).encode() not in (shop.parent / "shop.parquet").read_bytes()


def test_weights_that_were_moved_are_found_by_their_hash(
    shop: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carried = tmp_path / "carried" / "deep" / "renamed"
    shutil.copytree(clip, carried)
    facts = json.loads((shop / "catalog.json").read_text())
    facts["weights"] = str(tmp_path / "gone")
    (shop / "catalog.json").write_text(json.dumps(facts))
    shown = call("search", shop, "a cup", code=1)
    assert "Set LOOKALIKE_MODELS to a folder that has them" in shown
    assert facts["model"]["weights_sha256"] in shown.replace(" ", "")
    with Catalog.open(shop) as catalog, TestClient(create_app(catalog), raise_server_exceptions=False) as client:
        answer = client.post("/api/v1/search", json={"text": "a cup"})
        assert answer.status_code == 503
        assert str(tmp_path) not in answer.text
    monkeypatch.setenv("LOOKALIKE_MODELS", str(tmp_path / "carried"))
    assert len(call_json("search", shop, "a cup")["hits"]) == 10


def test_other_weights_in_the_same_place_are_refused(
    shop: Path, feed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other" / "shop-clip"
    torch.manual_seed(99)
    network = save_folder(other, TINY)
    with torch.no_grad():
        network.token_embedding.weight[0] += 1  # type: ignore[operator,union-attr,index]
    save_file(network.state_dict(), other / "open_clip_model.safetensors")
    facts = json.loads((shop / "catalog.json").read_text())
    facts["weights"] = str(other / "open_clip_model.safetensors")
    (shop / "catalog.json").write_text(json.dumps(facts))
    with Catalog.open(shop) as catalog, pytest.raises(WeightsUnavailable, match="are not the ones it was made with"):
        catalog.search(text="a cup")
    assert "Vectors of two models cannot be compared" in call("index", shop, feed, "--model", other, code=1)
    save_folder(other, {**TINY, "quick_gelu": True})
    with Catalog.open(shop) as catalog, pytest.raises(ModelMismatch):
        catalog.search(text="a cup")


def test_a_picture_model_refuses_words_everywhere(tmp_path: Path, feed: Path) -> None:
    save_file(timm.create_model("resnet10t").state_dict(), tmp_path / "mine.safetensors")
    shop = tmp_path / "shop"
    assert call_json("index", shop, feed, "--model", f"timm:resnet10t/{tmp_path}/mine.safetensors")["added"] == 24
    key, image = pl.read_csv(feed).select("key", "image").row(3)
    assert call_json("search", shop, "--image", image, "--limit", 1)["hits"][0]["key"] == key
    assert "This catalogue has no text model" in call("search", shop, "a cup", code=2)
    with Catalog.open(shop) as catalog:
        assert set(catalog._core.file.spaces) == {"image"}
        with TestClient(create_app(catalog), raise_server_exceptions=False) as client:
            answer = client.post("/api/v1/search", json={"text": "a cup"})
            assert answer.status_code == 422
            assert "no text model" in answer.json()["error"]["message"]
        handlers = Handlers(catalog, Uploads(), Metrics(catalog))
        opened = handlers.opened([])
        assert "data-action=&quot;words&quot;" not in opened["examples"]
        assert 'data-action="words"' not in opened["examples"]
        assert 'data-action="like"' in opened["examples"]
        results, _ = handlers.searched({"text": "a cup", "turn": 1})
        assert "no text model" in json.loads(results)["problem"]
        assert "cannot be searched that way" in json.loads(results)["html"]


def test_a_new_catalog_says_which_model_it_took_and_why(tmp_path: Path, feed: Path) -> None:
    shown = call("index", tmp_path / "shop", feed)
    assert "New catalog with the model compact: it needs no download; clip finds more by words, but" in shown
    assert call("index", tmp_path / "shop", feed, "--model", "auto").count("24 unchanged") == 1


def test_the_commands_on_models_fetch_from_a_mirror(tmp_path: Path) -> None:
    save_tokenizer(tmp_path / "hub" / "shop" / "clip", TEXTS, size=300)
    text = {**TINY["text_cfg"], "hf_tokenizer_name": "shop/clip", "vocab_size": 300}
    save_folder(tmp_path / "hub" / "shop" / "clip", {**TINY, "text_cfg": text})
    with Hub(tmp_path / "hub").running() as hub:
        environment = {**os.environ, "HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "cache")}

        def run(*arguments: str) -> Any:  # noqa: ANN401  # JSON
            command = [sys.executable, "-m", "lookalike", "models", *arguments, "--json"]
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True
            )
            return json.loads(done.stdout)

        fetched = run("fetch", "hf-hub:shop/clip")
    assert Path(fetched["path"]).is_relative_to(tmp_path / "cache")
    assert [one["as_expected"] for one in run("verify", "hf-hub:shop/clip")["files"]] == [True] * 3
    assert fetched["path"] in run("path", "hf-hub:shop/clip")["paths"]


def test_the_list_of_models_says_what_they_are_and_whether_they_are_here() -> None:
    models = {one["name"]: one for one in call_json("models", "list")["models"]}
    assert set(models) == {"compact", "clip", "clip-large", "clip-multilingual", "resnet50"}
    assert models["compact"]["on_disk"] is True
    assert models["clip"]["on_disk"] is False
    assert all(one["licence"] for one in models.values())
    shown = call("models", "list", "--all")
    assert "open_clip:MobileCLIP2-S2/dfndr2b" in shown
    assert "clip-multilingual" in shown
    assert "lookalike models fetch clip" in call("models", "path", "clip", code=1)
    assert "the ones expected" in call("models", "verify", "compact")
    assert "models/compact/compact.npz" in call("models", "path", "compact")


def test_without_open_clip_the_error_says_what_to_install() -> None:
    code = (
        "import importlib.util as util\nfind = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'open_clip' else find(name, *rest)\n"
        "import sys\nfrom lookalike.ui.cli.main import main\n"
        "sys.argv = ['lookalike', 'models', 'path', 'clip']\nmain()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'lookalike[clip]'" in " ".join(done.stderr.split())

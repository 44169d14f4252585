"""`lookalike reencode` with real networks (of random weights, but for `compact`), and what it says."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.torch import save_file
from starlette.testclient import TestClient
from typer.testing import CliRunner

from lookalike import Catalog
from lookalike.data.errors import OriginalsMissing
from lookalike.data.feeds.feed import open_feed
from lookalike.data.fetch.settings import FetchSettings
from lookalike.retrieval.ingest.index_run import IndexRun
from lookalike.retrieval.maintenance.verification import verify
from lookalike.retrieval.reencode.reencode_run import ReencodeOptions, Reencoding
from lookalike.retrieval.store.database import FORMAT
from lookalike.ui.cli.main import app
from lookalike.ui.server.server import create_app
from tests.checkpoints import TINY, save_folder
from tests.fakes import fake_models
from tests.running import run
from tests.test_fetch import png
from tests.test_indexing import picture, write_feed
from tests.test_reencoding import contents
from tests.test_video_indexing import SHOTS
from tests.videos import write_video
from tests.web_host import hosting, with_etag

pytestmark = pytest.mark.weights

SAMPLE = Path(__file__).parent.parent / "data" / "sample"
COUNT = 8


def call(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def call_json(*arguments: object) -> Any:  # noqa: ANN401  # JSON
    return json.loads(CliRunner().invoke(app, [*map(str, arguments), "--json"]).stdout)


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = pl.read_csv(SAMPLE / "catalog.csv").head(COUNT)
    path = tmp_path_factory.mktemp("feed") / "feed.csv"
    rows.with_columns(image=str(SAMPLE) + "/" + pl.col("image").str.split("|").list.first()).write_csv(path)
    queries = pl.DataFrame({"text": rows["title"], "relevant": rows["key"].cast(pl.String)})
    queries.write_csv(path.with_name("queries.csv"))
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "shop-clip"
    save_folder(folder, TINY)
    return folder


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    import timm  # takes a second

    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    save_file(timm.create_model("resnet10t").state_dict(), path)
    return f"timm:resnet10t/{path}"


def test_from_compact_to_clip_and_back_and_a_second_model_for_looks(
    tmp_path: Path, feed: Path, clip: Path, backbone: str
) -> None:
    shop = tmp_path / "shop"
    assert call_json("index", shop, feed, "--model", "compact")["added"] == COUNT
    measured = call_json("evaluate", shop, feed.with_name("queries.csv"), "--keep")
    held = call_json("reencode", shop, "--model", clip, "--hold")
    assert (held["pictures"], held["titles"], held["swapped"]) == (COUNT, COUNT, False)
    assert (held["old"], held["new"]) == ("compact", "local:shop-clip")
    for name in ("recall@1", "recall@5", "recall@10", "mrr", "ndcg@10"):
        assert held["comparison"]["old"][name] == measured[name]
    assert call_json("info", shop)["upcoming"] == "local:shop-clip"
    shown = call("reencode", shop)
    assert "In use: local:shop-clip, instead of compact. Go back with: lookalike reencode" in shown
    assert "0 pictures and 0 titles encoded" in shown
    assert call_json("evaluate", shop, feed.with_name("queries.csv"))["mrr"] == held["comparison"]["new"]["mrr"]
    call("index", tmp_path / "new", feed, "--model", clip)
    with Catalog.open(shop) as changed, Catalog.open(tmp_path / "new") as new:
        assert_same(changed, new)
    assert "In use again: compact, instead of local:shop-clip" in call("reencode", shop, "--rollback")
    shown = call("reencode", shop, "--appearance", backbone)
    assert "In use: compact, appearance timm:resnet10t/mine.safetensors, instead of compact" in shown
    assert "judged queries" in shown and "ndcg@10" in shown and "Of the first ten hits for 8 items" in shown
    key, image = pl.read_csv(feed).select("key", "image").row(5)
    found = call_json("search", shop, "--image", image, "--limit", 1)["hits"][0]
    assert found["key"] == key and set(found["scores"]) == {"appearance"}
    assert call_json("search", shop, "a cup", "--appearance", 0)["hits"]
    assert "Removed" in call("reencode", shop, "--forget")
    assert "nothing to go back to" in call("reencode", shop, "--rollback", code=2)
    assert verify(shop).problems == []


def assert_same(one: Catalog, other: Catalog) -> None:
    found, expected = contents(one), contents(other)
    assert found.keys() == expected.keys()
    for key, (title, pictures, title_vector) in expected.items():
        assert found[key][0] == title
        assert [sha256 for sha256, _ in found[key][1]] == [sha256 for sha256, _ in pictures]
        pairs = [
            (mine[name], vector)
            for (_, mine), (_, theirs) in zip(found[key][1], pictures, strict=True)
            for name, vector in theirs.items()
        ]
        if title_vector is not None:
            pairs.append((found[key][2] or b"", title_vector))
        for mine, theirs in pairs:  # batches of other sizes round otherwise
            assert np.allclose(np.frombuffer(mine, np.float16), np.frombuffer(theirs, np.float16), atol=2e-3)


def test_where_feeds_and_weights_lie_is_shown_by_no_way_in(tmp_path: Path, feed: Path, clip: Path) -> None:
    shop = tmp_path / "shop"
    call("index", shop, feed, "--model", clip)
    call("reencode", shop, "--model", "compact", "--hold")
    with Catalog.open(shop) as catalog, TestClient(create_app(catalog), raise_server_exceptions=False) as client:
        (source,) = catalog._core.records.ledger.sources().values()
        assert source.path == str(feed)
        answers = [client.get(path).text for path in ("/", "/api/v1/info", "/metrics", "/api/v1/items/1")]
        answers.append(client.post("/api/v1/search", json={"text": "a cup"}).text)
        assert not any(str(place.parent) in answer for answer in answers for place in (feed, clip))
        catalog.export(tmp_path / "shop.parquet")
    assert str(feed.parent).encode() not in (tmp_path / "shop.parquet").read_bytes()


def test_wrong_calls_are_said_in_a_sentence(tmp_path: Path, feed: Path, clip: Path) -> None:
    shop = tmp_path / "shop"
    call("index", shop, feed, "--model", clip)
    assert "There is no model named 'nosuch'" in call("reencode", shop, "--model", "nosuch", code=2)
    missing = call("reencode", shop, "--model", "resnet50", code=1)
    assert "lookalike models fetch" in missing
    assert "nothing to do" in call("reencode", shop, "--model", clip, code=2)
    assert "--rollback and --forget go with" in call("reencode", shop, "--rollback", "--model", clip, code=2)
    assert "There is no catalog" in call("reencode", tmp_path / "gone", "--model", clip, code=1)
    shown = call("index", shop, feed, "--model", "compact", code=2)
    assert "or change the model of this one with: lookalike reencode shop --model compact" in shown
    with Catalog.open(shop) as catalog, sqlite3.connect(shop / "records.sqlite") as connection:
        connection.execute("DELETE FROM sources")
        assert catalog._core.sets.version == 0
    shown = call("reencode", shop, "--model", "compact", code=1)
    assert f"{COUNT} pictures were not found" in shown and "lookalike reencode shop SOURCE..." in shown
    assert call_json("reencode", shop, feed)["swapped"] is True


def test_the_frames_of_a_video_are_encoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_models(monkeypatch)
    folder = tmp_path / "files"
    folder.mkdir()
    write_video(folder / "clip.mp4", SHOTS)
    SHOTS[0][0].save(folder / "photo.png")
    with Catalog.create(tmp_path / "shop", model="colour") as shop:
        run(shop, folder)
        *_, report = Reencoding(shop._core, model="turned", appearance="edge")
        assert (report.swapped, report.pictures) == (True, len(SHOTS) + 1)
        with Catalog.create(tmp_path / "new", model="turned", appearance="edge") as new:
            run(new, folder)
            assert contents(shop) == contents(new)


def test_pictures_of_addresses_come_from_what_was_kept_or_are_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_models(monkeypatch)
    settings = FetchSettings(allow_private=True, attempts=1)
    with hosting() as host, Catalog.create(tmp_path / "shop", model="colour") as shop:
        for number in range(4):
            host.answers[f"/{number}.png"] = with_etag(png(number), f'"{number}"')
        feed = tmp_path / "feed.csv"
        feed.write_text("key,image\n" + "".join(f"k{number},{host.url(f'/{number}.png')}\n" for number in range(4)))
        for _ in IndexRun(shop._core, open_feed(feed), fetch=settings):
            pass
        for model in ("turned", "edge"):
            *_, report = Reencoding(shop._core, model=model, options=ReencodeOptions(fetch=settings))
            assert (report.swapped, report.pictures) == (True, 4)
            with Catalog.create(tmp_path / model, model=model) as new:
                for _ in IndexRun(new._core, open_feed(feed), fetch=settings):
                    pass
                assert contents(shop) == contents(new)
            shutil.rmtree(shop._core.fetched_folder)
        host.answers.clear()
        with pytest.raises(OriginalsMissing, match="4 pictures were not found"):
            list(Reencoding(shop._core, model="colour", options=ReencodeOptions(fetch=settings)))


def test_a_catalog_of_format_4_changes_its_model_when_its_source_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_models(monkeypatch)
    for number in range(4):
        picture(tmp_path / f"{number}.png", number)
    feed = write_feed(tmp_path, [f"k{number},{number}.png,red cup,1" for number in range(4)])
    with Catalog.create(tmp_path / "shop", model="colour") as shop:
        run(shop, feed)
        before = shop.search(text="red").keys
    connection = sqlite3.connect(tmp_path / "shop" / "records.sqlite")
    for table in ("spaces", "sources", "field_changes"):
        connection.execute(f"DROP TABLE {table}")
    connection.execute("PRAGMA user_version = 4")
    connection.commit()
    connection.close()
    assert json.loads((tmp_path / "shop" / "catalog.json").read_text())["format"] == 1
    assert verify(tmp_path / "shop").problems == []
    with Catalog.open(tmp_path / "shop") as shop:
        assert shop.search(text="red").keys == before
        assert shop._core.records._database._version() == FORMAT
        *_, report = Reencoding(shop._core, model="turned", feeds=[open_feed(feed)])
        assert report.swapped
        with Catalog.create(tmp_path / "new", model="turned") as new:
            run(new, feed)
            assert contents(shop) == contents(new)

"""A catalog with two models: words go to one, pictures to the other, and both are fused by weights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient
from typer.testing import CliRunner

from lookalike import Catalog
from lookalike.data.errors import ItemNotFound, ModalityUnsupported, UsageError
from lookalike.data.pictures.image_decoder import decode
from lookalike.models import Encoder, unit_rows
from lookalike.retrieval.maintenance.verification import verify
from lookalike.ui.cli.main import app
from lookalike.ui.page.handlers import Handlers
from lookalike.ui.page.uploads import Uploads
from lookalike.ui.server.metrics import Metrics
from lookalike.ui.server.server import create_app
from tests.fakes import fake_models
from tests.running import run
from tests.test_indexing import picture, write_feed

COUNT = 40


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> dict[str, Encoder]:
    return fake_models(monkeypatch)


@pytest.fixture
def shop(tmp_path: Path, models: dict[str, Encoder]) -> Iterator[Catalog]:
    colours = ("red", "green", "blue", "white")
    for number in range(COUNT + 1):
        picture(tmp_path / f"{number}.png", number)
    rows = [f"k{number},{number}.png|{number + 1}.png,{colours[number % 4]} cup,{number}" for number in range(COUNT)]
    with Catalog.create(tmp_path / "shop", model="colour", appearance="edge") as catalog:
        run(catalog, write_feed(tmp_path, rows))
        catalog.optimize()
        yield catalog


def stored(catalog: Catalog, space: str) -> dict[str, NDArray[np.float32]]:
    """The vectors of each item in a space, as the records have them."""
    found = catalog._core.file.spaces[space]
    keys = {row.id: row.key for row in catalog._core.records.items()}
    vectors: dict[str, list[NDArray[np.float32]]] = {}
    with catalog._core.records.snapshot():
        rows = catalog._core.records.vectors(found.stored, found.dim)
    for item, vector in zip(rows.item_ids.tolist(), rows.vectors.astype(np.float32), strict=True):
        vectors.setdefault(keys[item], []).append(vector)
    return {key: np.stack(some) for key, some in vectors.items()}


def oracle(
    catalog: Catalog, parts: Sequence[tuple[str, NDArray[np.float32], float]], without: str | None = None
) -> dict[str, float]:
    """Scores by brute force: a sum of standardised similarities, the best vector of an item in each space counting."""
    weight = sum(abs(part[2]) for part in parts)
    totals: dict[str, float] = {key: 0.0 for key in stored(catalog, "image") if key != without}
    view = catalog._core.newest.state()
    for space in {part[0] for part in parts}:
        vectors = stored(catalog, space)
        sample = view.sample(space)
        query, base = np.zeros(sample.shape[1]), 0.0
        for _, vector, share in (part for part in parts if part[0] == space):
            similar = sample @ vector
            query += share / weight / similar.std() * vector
            base += share / weight / similar.std() * similar.mean()
        for key in totals:
            if key in vectors:
                totals[key] += float((vectors[key] @ query).max() - base)
    return totals


def assert_ranked(catalog: Catalog, keys: list[str], scores: list[float], expected: dict[str, float]) -> None:
    assert set(keys) == set(expected)
    assert np.allclose(scores, [expected[key] for key in keys], atol=2e-3)


def test_pictures_are_compared_by_looks_and_words_by_the_main_model(shop: Catalog, models: dict[str, Encoder]) -> None:
    path = shop._core.folder.parent / "7.png"
    looks = models["edge"].encode_images([decode(path.read_bytes()).rgb])[0]
    found = shop.search(image=path, limit=COUNT)
    best = {key: float((vectors @ looks).max()) for key, vectors in stored(shop, "looks").items()}
    assert dict(zip(found.keys, found.scores, strict=True)) == pytest.approx(best, abs=2e-3)
    assert found.keys[0] in ("k6", "k7") and set(found[0].scores) == {"appearance"}
    words = shop.search(text="green cup", limit=COUNT)
    assert set(words[0].scores) == {"text", "title"}
    assert words[0].fields["title"] == "green cup"
    encoder = models["colour"]
    parts = [
        ("image", encoder.encode_texts(["green cup"])[0], 0.35),
        ("title", encoder.encode_titles(["green cup"])[0], 0.65),
    ]
    assert_ranked(shop, words.keys, words.scores, oracle(shop, parts))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_words_and_a_picture_are_fused_over_all_spaces_by_their_weights(
    shop: Catalog, models: dict[str, Encoder], share: float
) -> None:
    rgb = decode((shop._core.folder.parent / "9.png").read_bytes()).rgb
    colour, edge = models["colour"], models["edge"]
    found = shop.search(text="red", image=rgb, balance=0.4, appearance=share, limit=COUNT, recall="exact")
    parts = [
        ("image", colour.encode_texts(["red"])[0], 0.4 * 0.35),
        ("title", colour.encode_titles(["red"])[0], 0.4 * 0.65),
        ("image", colour.encode_images([rgb])[0], 0.6 * (1 - share)),
        ("looks", edge.encode_images([rgb])[0], 0.6 * share),
    ]
    expected = oracle(shop, [part for part in parts if part[2]])
    assert_ranked(shop, found.keys, found.scores, expected)
    assert ("appearance" in found[0].scores, "image" in found[0].scores) == (share > 0, share < 1)
    assert found.exact


@pytest.mark.parametrize("share", [None, 0.5])
def test_like_compares_by_looks_too(shop: Catalog, share: float | None) -> None:
    found = shop.search(like="k3", appearance=share, limit=COUNT, recall="exact")
    looks = 1.0 if share is None else share
    parts = []
    for space, weight in (("image", 1 - looks), ("looks", looks)):
        if weight:
            parts.append((space, unit_rows(stored(shop, space)["k3"].mean(axis=0, keepdims=True))[0], weight))
    if share is None:
        best = {key: float((some @ parts[0][1]).max()) for key, some in stored(shop, "looks").items() if key != "k3"}
        assert dict(zip(found.keys, found.scores, strict=True)) == pytest.approx(best, abs=2e-3)
    else:
        assert_ranked(shop, found.keys, found.scores, oracle(shop, parts, without="k3"))
    assert "k3" not in found.keys


def test_what_comes_later_has_both_vectors_and_a_filter_stays_exact(shop: Catalog, tmp_path: Path) -> None:
    picture(tmp_path / "new.png", 99)
    run(shop, write_feed(tmp_path, ["new,new.png,blue cup,5"]))
    assert shop.search(image=tmp_path / "new.png").keys[0] == "new"
    assert shop.search(image=tmp_path / "new.png", appearance=0.0).keys[0] == "new"
    found = shop.search(image=tmp_path / "new.png", filter="price < 6", limit=COUNT)
    assert set(found.keys) == {"new", *(f"k{number}" for number in range(6))}
    assert shop.search(image=tmp_path / "new.png", as_of=1, limit=50).keys == [
        key for key in shop.search(image=tmp_path / "new.png", limit=50).keys if key != "new"
    ]
    info = shop.info()
    assert info.spaces == {"image": 81, "title": 41, "looks": 81}
    assert (info.model, info.appearance) == ("colour", "edge")
    assert verify(shop._core.folder).problems == []
    shop.delete(keys=["new"])
    assert "new" not in shop.search(image=tmp_path / "new.png", limit=COUNT).keys


def test_a_share_out_of_range_or_without_a_space_is_refused(shop: Catalog, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"The share of the appearance is 1.5"):
        shop.search(like="k3", appearance=1.5)
    with pytest.raises(ItemNotFound):
        shop.search(like="gone", appearance=0.5)
    why = "no second model for appearance.*lookalike reencode CATALOG --appearance resnet50"
    with Catalog.create(tmp_path / "plain", model="colour") as plain, pytest.raises(UsageError, match=why):
        plain.search(text="red", appearance=0.5)
    with pytest.raises(UsageError, match="A model for appearance compares pictures"):
        Catalog.create(tmp_path / "vectors", dim=3, appearance="edge")


def test_a_catalog_of_a_picture_model_alone_says_both_ways_to_read_words(tmp_path: Path, models: object) -> None:
    with Catalog.create(tmp_path / "pictures", model="edge") as catalog, pytest.raises(ModalityUnsupported) as caught:
        catalog.search(text="red")
    assert "no text model" in str(caught.value)


def test_an_export_carries_both_spaces_and_imports_bit_for_bit(shop: Catalog, tmp_path: Path) -> None:
    assert shop.export(tmp_path / "shop.parquet") == COUNT
    command = ["import", str(tmp_path / "shop.parquet"), str(tmp_path / "again")]
    assert CliRunner().invoke(app, command).exit_code == 0
    with Catalog.open(tmp_path / "again") as again:
        assert again._core.file == shop._core.file
        for space in ("image", "title", "looks"):
            before, after = stored(shop, space), stored(again, space)
            assert before.keys() == after.keys()
            assert all((before[key] == after[key]).all() for key in before)
        assert verify(tmp_path / "again").problems == []
        assert again.import_parquet(tmp_path / "shop.parquet").unchanged == COUNT


def test_the_command_line_the_api_and_the_page_know_the_share(shop: Catalog, tmp_path: Path) -> None:
    expected = shop.search(like="k5", appearance=0.25, limit=3).keys
    command = ["search", str(shop._core.folder), "--like", "k5", "--appearance", "0.25", "--limit", "3", "--json"]
    assert [hit["key"] for hit in json.loads(CliRunner().invoke(app, command).stdout)["hits"]] == expected
    with TestClient(create_app(shop), raise_server_exceptions=False) as client:
        answer = client.post("/api/v1/search", json={"like": "k5", "appearance": 0.25, "limit": 3})
        assert [hit["key"] for hit in answer.json()["hits"]] == expected
        assert client.post("/api/v1/search", json={"like": "k5", "appearance": 2}).status_code == 422
        assert client.get("/api/v1/info").json()["appearance"] == "edge"
    handlers = Handlers(shop, Uploads(), Metrics(shop))
    assert "data-appearance" in handlers.opened([])["header"]
    results, _ = handlers.searched({"subject": json.dumps({"key": "k5"}), "appearance": 0.25, "turn": 1})
    assert json.loads(results)["recipe"]["appearance"] == 0.25
    assert json.loads(results)["html"].index(expected[0]) < json.loads(results)["html"].index(expected[2])
    with Catalog.create(tmp_path / "plain", model="colour") as plain:
        assert "data-appearance" not in Handlers(plain, Uploads(), Metrics(plain)).opened([])["header"]


def test_another_second_model_is_refused_by_an_index_run(shop: Catalog, tmp_path: Path) -> None:
    feed = str(tmp_path / "feed.csv")
    again = CliRunner().invoke(app, ["index", str(shop._core.folder), feed, "--appearance", "edge", "--json"])
    assert json.loads(again.stdout)["unchanged"] == COUNT
    other = CliRunner().invoke(app, ["index", str(shop._core.folder), feed, "--appearance", "resnet50"])
    assert other.exit_code == 2
    assert "compares appearance by the model edge, not resnet50" in " ".join(other.output.split())

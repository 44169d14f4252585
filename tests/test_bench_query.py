from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lookalike import Catalog, ModalityUnsupported
from lookalike.retrieval.bench.query_speed import measure_query_speed
from lookalike.ui.cli.main import app
from tests.fakes import ColourEncoder


@pytest.mark.weights
@pytest.mark.slow
def test_a_search_by_words_is_measured_beside_the_network(shop: Path) -> None:
    done = CliRunner().invoke(app, ["bench", "query", str(shop), "--queries", "5", "--json"])
    found = json.loads(done.stdout)
    assert found["queries"] == 5
    assert 0 < found["repeated_ms"] < found["text_ms"] and found["network_ms"] > 0
    assert found["ratio"] > 0.5
    done = CliRunner().invoke(app, ["bench", "query", str(shop), "--queries", "5"])
    assert done.exit_code == 0 and "one run of the text network" in done.stdout


def test_a_text_is_encoded_once_however_often_it_is_asked_for(tmp_path: Path, encoder: ColourEncoder) -> None:
    with Catalog.create(tmp_path / "shop", model="colour") as catalog:
        catalog.search("red cup")
        assert encoder.texts == ["red cup"]
        catalog.search("red cup", limit=3)
        catalog.search(["red cup", "blue cup"], without="green")
        assert encoder.texts == ["red cup", "blue cup", "green"]
        for number in range(600):
            catalog.search(f"cup {number}")
        encoder.texts.clear()
        catalog.search("cup 599")
        assert encoder.texts == []
        catalog.search("red cup")  # forgotten since
        assert encoder.texts == ["red cup"]


def test_a_catalogue_without_words_cannot_be_measured_by_them(tmp_path: Path) -> None:
    Catalog.create(tmp_path / "vectors", dim=3).close()
    with pytest.raises(ModalityUnsupported):
        measure_query_speed(tmp_path / "vectors")

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import retrieval.catalog
from data.feed import open_feed
from retrieval import Catalog
from retrieval.indexing.run import IndexRun
from tests.fakes import ColourEncoder

_CACHES = Path(tempfile.mkdtemp())  # weights that are on this machine by chance are none of the tests' business
atexit.register(shutil.rmtree, _CACHES, ignore_errors=True)
os.environ |= {"HF_HOME": str(_CACHES / "hub"), "TORCH_HOME": str(_CACHES / "torch"), "XDG_CACHE_HOME": str(_CACHES)}
os.environ.pop("LOOKALIKE_MODELS", None)

SAMPLE = Path(__file__).parent.parent / "data" / "sample" / "catalog.csv"


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop") / "shop"
    with Catalog.create(folder, model="compact") as catalog:
        for _ in IndexRun(catalog, open_feed(SAMPLE)):
            pass
        catalog.optimize()
    return folder


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[ColourEncoder]:
    fake = ColourEncoder()
    monkeypatch.setattr(retrieval.catalog, "load_encoder", lambda name, **_: fake)
    yield fake

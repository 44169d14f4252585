"""The options `variants` and `base` from the command line and from Python, and when a feed is opened again."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lookalike import Catalog
from lookalike.data.errors import FeedError
from lookalike.data.feeds.feed import FeedSource
from lookalike.models import Encoder
from lookalike.retrieval.reencode.reencode_run import Reencoding
from lookalike.ui.cli.main import app
from tests.fakes import fake_models
from tests.test_indexing import picture

HEADER = "Handle,Title,Option1 Name,Option1 Value,Variant SKU,Variant Price,Image Src,Variant Image"
ROWS = (
    "mug,Red mug,Size,S,M-S,9.50,/m/1.png,/m/1.png",
    "mug,,,L,M-L,11.50,/m/2.png,/m/2.png",
    "bowl,Blue bowl,Title,Default Title,B,20.00,/m/3.png,",
)


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> dict[str, Encoder]:
    return fake_models(monkeypatch)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    for number in (1, 2, 3):
        picture(tmp_path / "media" / "m" / f"{number}.png", number)
    path = tmp_path / "products_export.csv"
    path.write_text("\n".join((HEADER, *ROWS)), encoding="utf-8")
    return path


@pytest.mark.usefixtures("models")
def test_variants_and_base_are_remembered_for_when_the_feed_is_opened_again(
    tmp_path: Path, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Catalog.create(tmp_path / "shop", model="colour") as catalog:
        report = catalog.index(export, variants="items", base="media").finish()
        assert (report.added, report.rejected) == (3, 0)
        assert {item.key: item.fields["group"] for item in catalog.items()} == {"M-S": "mug", "M-L": "mug", "B": "bowl"}
        options = {"variants": "items", "base": str(tmp_path / "media")}
        assert catalog._core.records.ledger.sources() == {export.name: FeedSource(str(export), options)}  # type: ignore[arg-type]
        monkeypatch.chdir("/")
        *_, reencoded = Reencoding(catalog._core, model="turned")
        assert (reencoded.swapped, reencoded.pictures) == (True, 3)
        assert [str(change.action) for change in catalog.dry_run(export, **options)] == ["unchanged"] * 3  # type: ignore[arg-type]
        stop = threading.Event()
        watch = catalog.watch(export, variants="items", base=str(tmp_path / "media"), stop=stop)
        assert sorted(item.key or "" for item in watch.feed) == ["B", "M-L", "M-S"]


@pytest.mark.usefixtures("models")
def test_named_columns_are_remembered_too(tmp_path: Path) -> None:
    picture(tmp_path / "1.png", 1)
    (tmp_path / "feed.csv").write_text("number,file,words\n7,1.png,Red mug\n", encoding="utf-8")
    named = {"key": "number", "image": "file", "title": "words"}
    with Catalog.create(tmp_path / "shop", model="colour") as catalog:
        catalog.index(tmp_path / "feed.csv", **named).finish()  # type: ignore[arg-type]
        source = catalog._core.records.ledger.sources()["feed.csv"]
    assert source == FeedSource(str(tmp_path / "feed.csv"), named)  # type: ignore[arg-type]


@pytest.mark.usefixtures("models")
def test_the_command_line_takes_variants_and_base(tmp_path: Path, export: Path) -> None:
    command = ["index", str(tmp_path / "shop"), str(export), "--model", "colour", "--base", str(tmp_path / "media")]
    result = CliRunner().invoke(app, [*command, "--json"])
    assert json.loads(result.stdout)["added"] == 2
    result = CliRunner().invoke(app, [*command, "--variants", "items", "--json"])
    counts = json.loads(result.stdout)
    assert (counts["added"], counts["rejected"]) == (3, 0)
    assert CliRunner().invoke(app, [*command, "--variants", "each"]).exit_code == 2


def test_an_archive_or_a_folder_of_pictures_has_no_variants(tmp_path: Path) -> None:
    picture(tmp_path / "media" / "1.png", 1)
    with pytest.raises(FeedError, match="A folder of pictures has no columns") as error:
        Catalog.create(tmp_path / "shop", dim=2).feeds(tmp_path / "media", variants="items")
    assert error.value.remedy == "Leave out --variants."

"""Catalogs whose pictures were decoded by an earlier version, which ignored colour profiles."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import orjson
import pytest
from PIL import Image

from lookalike import Catalog
from lookalike.data.errors import UsageError
from lookalike.data.pictures import rgb_pixels
from lookalike.data.pictures.colour_profiles import Conversion
from lookalike.data.pictures.decoding_version import decodes_differently
from lookalike.data.pictures.image_decoder import decode
from lookalike.models import Encoder
from tests.fakes import fake_models
from tests.icc_profiles import devices
from tests.running import call, call_json, run
from tests.test_indexing import picture, write_feed
from tests.test_picture_kinds import PIXELS, RAMP, page, psd, saved, tiff
from tests.test_reencoding import contents, made_anew, reencode

PROFILE = devices()["exchanged"].profile
COUNT = 12


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> dict[str, Encoder]:
    return fake_models(monkeypatch)


@pytest.fixture
def feed(tmp_path: Path) -> Path:
    """Write a feed in which every third picture has a colour profile."""
    folder = tmp_path / "feed"
    for number in range(COUNT):
        path = folder / f"{number}.png"
        picture(path, number)
        if number % 3 == 0:
            with Image.open(path) as image:
                image.load()
            image.save(path, icc_profile=PROFILE)
    write_feed(folder, [f"k{number},{number}.png,cup {number},{number}" for number in range(COUNT)])
    return folder / "feed.csv"


def make_old(folder: Path, feed: Path, looks: str | None = None) -> None:
    """Create a catalog as the earlier version did."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rgb_pixels, "conversion_of", lambda profile, mode: Conversion())
        with Catalog.create(folder, model="colour", appearance=looks) as catalog:
            run(catalog, feed)
            catalog.optimize()
    path = folder / "catalog.json"
    facts = orjson.loads(path.read_bytes())
    assert facts.pop("decoding") == 2
    path.write_bytes(orjson.dumps(facts))


def thumbnail_of(catalog: Catalog, path: Path) -> float:
    found = catalog._core.thumbnails.path(hashlib.sha256(path.read_bytes()).hexdigest())
    assert found is not None
    small = np.asarray(decode(found.read_bytes()).rgb.resize((8, 8)), dtype=float)
    return float(np.abs(small - np.asarray(decode(path.read_bytes()).rgb.resize((8, 8)), dtype=float)).mean())


@pytest.mark.parametrize("looks", [None, "edge"])
def test_pictures_with_a_profile_are_encoded_again_and_the_others_keep_their_vectors(
    tmp_path: Path, models: dict[str, Encoder], feed: Path, looks: str | None
) -> None:
    make_old(tmp_path / "shop", feed, looks)
    with Catalog.open(tmp_path / "shop") as catalog:
        assert catalog.info().decoded_before
        before = contents(catalog)
        assert thumbnail_of(catalog, feed.parent / "0.png") > 20
        report = reencode(catalog)
        assert (report.pictures, report.titles, report.lacking, report.notes) == (COUNT // 3, 0, 0, [])
        after = contents(catalog)
        assert after == made_anew(tmp_path / "new", feed, "colour", looks)
        changed = [key for key in after if after[key] != before[key]]
        assert changed == [f"k{number}" for number in range(0, COUNT, 3)]
        assert thumbnail_of(catalog, feed.parent / "0.png") < 10
        assert not catalog.info().decoded_before
        with pytest.raises(UsageError, match="nothing to do"):
            reencode(catalog)
    with Catalog.open(tmp_path / "shop") as again:
        assert not again.info().decoded_before and contents(again) == after
        assert again.search(image=feed.parent / "3.png").keys[0] == "k3"


def test_pictures_that_are_not_found_keep_their_vectors_with_a_note(
    tmp_path: Path, models: dict[str, Encoder], feed: Path
) -> None:
    make_old(tmp_path / "shop", feed)
    (feed.parent / "0.png").unlink()
    (feed.parent / "1.png").unlink()
    with Catalog.open(tmp_path / "shop") as catalog:
        before = contents(catalog)
        report = reencode(catalog)
        assert (report.pictures, report.lacking) == (COUNT // 3 - 1, 0)
        assert report.notes == ["2 pictures could not be found at the source; the vectors are kept as they were."]
        after = contents(catalog)
        assert after["k0"] == before["k0"] and after["k1"] == before["k1"] and after["k3"] != before["k3"]


def test_another_model_brings_the_pictures_up_as_well(tmp_path: Path, models: dict[str, Encoder], feed: Path) -> None:
    make_old(tmp_path / "shop", feed)
    with Catalog.open(tmp_path / "shop") as catalog:
        reencode(catalog, "turned")
        assert not catalog.info().decoded_before
        assert contents(catalog) == made_anew(tmp_path / "new", feed, "turned")


def test_info_says_how_to_bring_a_catalog_up(tmp_path: Path, models: dict[str, Encoder], feed: Path) -> None:
    make_old(tmp_path / "shop", feed)
    assert "lookalike reencode" in call("info", tmp_path / "shop")
    assert call_json("info", tmp_path / "shop")["decoded_before"] is True
    assert "complete and up to date" in call("reencode", tmp_path / "shop")
    assert "lookalike reencode" not in call("info", tmp_path / "shop")
    with Catalog.create(tmp_path / "new", model="colour") as catalog:
        run(catalog, feed)
    assert "lookalike reencode" not in call("info", tmp_path / "new")
    assert call_json("info", tmp_path / "new")["decoded_before"] is False


def test_only_pictures_of_the_mended_kinds_are_decoded_differently() -> None:
    image = Image.fromarray(PIXELS)
    deep = np.rint(RAMP * 65535).astype(np.uint16)
    srgb = devices()["sRGB"].profile
    drawing = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'
    same = [saved(image, kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "AVIF")]
    same += [saved(image, kind, icc_profile=srgb) for kind in ("PNG", "JPEG", "TIFF")]
    same += [saved(image, "PNG", icc_profile=b"not a profile"), saved(Image.fromarray(deep), "PNG"), drawing]
    same += [tiff((page(64, 5), {}), (page(32, 9), {})), psd(np.ascontiguousarray(PIXELS.transpose(2, 0, 1)))]
    different = [saved(image, kind, icc_profile=PROFILE) for kind in ("PNG", "JPEG", "WEBP", "TIFF", "AVIF")]
    different += [tiff((page(32, 5), {}), (page(64, 9), {})), tiff((deep, {})), tiff((RAMP.astype(np.float32), {}))]
    different += [saved(Image.fromarray(deep), "PNG", transparency=0), b"not a picture"]
    assert [decodes_differently(content) for content in same] == [False] * len(same)
    assert [decodes_differently(content) for content in different] == [True] * len(different)

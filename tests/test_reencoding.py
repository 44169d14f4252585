"""Another model for a catalog: a second set of vectors beside the old one, compared, swapped, and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike import Catalog
from lookalike.data.errors import CatalogBusy, ModalityUnsupported, OriginalsMissing, UsageError
from lookalike.data.feeds.feed import open_feed
from lookalike.data.pictures.image_decoder import decode
from lookalike.models import Encoder
from lookalike.retrieval.evaluation.judged_queries import read_queries
from lookalike.retrieval.evaluation.measures import evaluate
from lookalike.retrieval.maintenance.repair import repair
from lookalike.retrieval.maintenance.verification import ProblemKind, verify
from lookalike.retrieval.reencode.reencode_run import ReencodeOptions, ReencodeReport, Reencoding
from lookalike.retrieval.reencode.rollback import forget, roll_back
from lookalike.retrieval.stored_rows import ItemChange
from tests.fakes import fake_models
from tests.running import run
from tests.test_indexing import picture, write_feed

COUNT = 24
COLOURS = ("red", "green", "blue", "white")

Contents = dict[str, tuple[str | None, list[tuple[bytes, dict[str, bytes]]], bytes | None]]


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> dict[str, Encoder]:
    return fake_models(monkeypatch)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "feed"
    for number in range(COUNT + 1):
        picture(folder / f"{number}.png", number)
    rows = [f"k{number},{number}.png|{number + 1}.png,{COLOURS[number % 4]} cup,{number}" for number in range(COUNT)]
    write_feed(folder, rows)
    return folder


@pytest.fixture
def shop(tmp_path: Path, models: dict[str, Encoder], pictures: Path) -> Iterator[Catalog]:
    with Catalog.create(tmp_path / "shop", model="colour") as catalog:
        run(catalog, pictures / "feed.csv")
        catalog.optimize()
        yield catalog


def reencode(catalog: Catalog, model: str | None = None, looks: str | None = None, **options: bool) -> ReencodeReport:
    *_, report = Reencoding(catalog._core, model=model, appearance=looks, options=ReencodeOptions(**options))  # type: ignore[arg-type]
    return report


def contents(catalog: Catalog, as_of: int | None = None) -> Contents:
    """What a catalog holds by key: title, pictures with a vector of each space, the title's vector."""
    file, records = catalog._core.file, catalog._core.records
    vectors: dict[str, dict[tuple[int, int], NDArray[np.float16]]] = {}
    with records.snapshot():
        for name, space in file.spaces.items():
            rows = records.vectors(space.stored, space.dim, as_of=as_of)
            places = zip(rows.item_ids.tolist(), rows.image_ids.tolist(), strict=True)
            vectors[name] = {place: vector.copy() for place, vector in zip(places, rows.vectors, strict=True)}
        items = records.items(as_of=as_of)
        images = records.images([item.id for item in items], as_of=as_of)
    found: Contents = {}
    for item in items:
        title = vectors.get("title", {}).get((item.id, 0))
        held = [
            (
                image.sha256,
                {str(name): vectors[name][item.id, image.id].tobytes() for name in file.picture_spaces},
            )
            for image in images.get(item.id, ())
        ]
        found[item.key] = item.title, held, None if title is None else title.tobytes()
    return found


def made_anew(folder: Path, feed: Path, model: str, looks: str | None = None) -> Contents:
    with Catalog.create(folder, model=model, appearance=looks) as catalog:
        run(catalog, feed)
        return contents(catalog)


def test_after_it_the_catalog_is_as_if_made_with_the_new_model(shop: Catalog, pictures: Path, tmp_path: Path) -> None:
    before = contents(shop)
    report = reencode(shop, "turned")
    assert (report.old, report.new, report.swapped) == ("colour", "turned", True)
    assert (report.pictures, report.titles) == (2 * COUNT, COUNT)
    assert contents(shop) == made_anew(tmp_path / "new", pictures / "feed.csv", "turned") != before
    info = shop.info()
    assert (info.model, info.previous, info.upcoming) == ("turned", "colour", None)
    assert info.spaces == {"image": 2 * COUNT, "title": COUNT}
    assert verify(shop._core.folder).problems == []
    with Catalog.open(shop._core.folder) as again:
        assert again.search(text="green cup", limit=9).keys == shop.search(text="green cup", limit=9).keys
        assert again.search(like="k3").keys == shop.search(like="k3").keys
    assert roll_back(shop._core).new == "colour"
    assert contents(shop) == before
    assert shop.info().model == "colour"
    assert verify(shop._core.folder).problems == []


def test_search_goes_on_with_the_old_model_until_the_swap_and_then_with_the_new(
    shop: Catalog, pictures: Path, tmp_path: Path
) -> None:
    old = shop.search(text="green", image=pictures / "3.png", limit=COUNT)
    with Catalog.create(tmp_path / "new", model="turned") as new:
        run(new, pictures / "feed.csv")
        expected = new.search(text="green", image=pictures / "3.png", limit=COUNT)
    phases = set()
    with Catalog.open(shop._core.folder) as reader:
        for report in Reencoding(shop._core, model="turned"):
            phases.add(report.phase)
            found = reader.search(text="green", image=pictures / "3.png", limit=COUNT)
            wanted = expected if report.swapped else old
            assert found.keys == wanted.keys
            assert found.scores == pytest.approx(wanted.scores, abs=1e-4)
            assert reader._core.file.models == ("turned" if report.swapped else "colour")
            if report.phase == "Encoding pictures":
                with pytest.raises(CatalogBusy):
                    run(reader, pictures / "feed.csv")
        assert [encoder.spec.name for encoder in reader._core.models._kept.values()] == ["turned"]
    assert phases == {"Encoding pictures", "Encoding titles", "Building the search index", "Comparing", "Changing over"}


@pytest.mark.slow
def test_a_space_for_looks_is_added_replaced_and_taken_away(shop: Catalog, pictures: Path, tmp_path: Path) -> None:
    main = contents(shop)
    report = reencode(shop, looks="edge")
    assert (report.pictures, report.titles, report.new) == (2 * COUNT, 0, "colour, appearance edge")
    assert contents(shop) == made_anew(tmp_path / "both", pictures / "feed.csv", "colour", "edge")
    reencode(shop, looks="edge2")
    assert contents(shop) == made_anew(tmp_path / "other", pictures / "feed.csv", "colour", "edge2")
    reencode(shop, "turned")
    assert contents(shop) == made_anew(tmp_path / "third", pictures / "feed.csv", "turned", "edge2")
    report = reencode(shop, "colour", "none")
    assert (report.pictures, shop._core.file.models) == (2 * COUNT, "colour")
    assert contents(shop) == main
    assert roll_back(shop._core).new == "turned, appearance edge2"
    assert sum(forget(shop._core)) > 0
    assert set(shop._core.records.count_vectors()) == {space.stored for space in shop._core.file.spaces.values()}
    assert verify(shop._core.folder).problems == []
    assert contents(shop) == made_anew(tmp_path / "fourth", pictures / "feed.csv", "turned", "edge2")


def test_a_picture_model_gets_a_text_model_beside_it(pictures: Path, tmp_path: Path, models: object) -> None:
    with Catalog.create(tmp_path / "shop", model="edge") as shop:
        run(shop, pictures / "feed.csv")
        with pytest.raises(ModalityUnsupported):
            shop.search(text="red")
        reencode(shop, "colour", "edge")
        assert contents(shop) == made_anew(tmp_path / "both", pictures / "feed.csv", "colour", "edge")
        assert shop.search(text="red cup")[0].fields["title"] == "red cup"
        reencode(shop, "edge2")
        assert set(shop._core.file.spaces) == {"image", "looks"}
        assert verify(shop._core.folder).problems == []


def test_pictures_are_found_by_their_bytes_wherever_they_are_now(shop: Catalog, pictures: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    for number in range(COUNT + 1):
        (moved / "deep").mkdir(parents=True, exist_ok=True)
        (pictures / f"{number}.png").rename(moved / "deep" / f"other-{number}.png")
    with pytest.raises(
        OriginalsMissing, match=r"48 pictures were not found .*items k0, k1, k2, k3, k4, \.\.\."
    ) as caught:
        reencode(shop, "turned")
    for word in ("stays with colour", "SOURCE", "--from-thumbnails", "--drop-missing"):
        assert word in str(caught.value)
    assert shop.info().upcoming == "turned"
    assert shop.search(text="red cup")[0].fields["title"] == "red cup"
    *_, report = Reencoding(shop._core, feeds=[open_feed(moved)])
    assert (report.swapped, report.pictures, report.new) == (True, 2 * COUNT, "turned")
    for number in range(COUNT + 1):
        (moved / "deep" / f"other-{number}.png").rename(pictures / f"{number}.png")
    assert contents(shop) == made_anew(tmp_path / "new", pictures / "feed.csv", "turned")


def test_what_is_gone_is_encoded_from_its_thumbnail_or_goes_without(shop: Catalog, pictures: Path) -> None:
    for number in (5, 6):
        (pictures / f"{number}.png").unlink()
    with pytest.raises(OriginalsMissing, match=r"4 pictures were not found .*items k4, k5, k6\)"):
        reencode(shop, "turned")
    report = reencode(shop, from_thumbnails=True)
    assert (report.swapped, report.thumbnails, report.lacking) == (True, 4, 0)
    assert shop.search(like="k5", limit=50).total == COUNT - 1
    roll_back(shop._core)
    sum(forget(shop._core))
    report = reencode(shop, "turned", drop_missing=True)
    assert (report.swapped, report.pictures, report.lacking) == (True, 2 * COUNT - 4, 4)
    found = verify(shop._core.folder).problems
    assert {(one.kind, one.where) for one in found} == {
        (ProblemKind.LACKING, f"item 'k{number}'") for number in (4, 5, 6)
    }
    assert all(one.mend == "lookalike reencode CATALOG" for one in found)
    assert repair(shop._core.folder).quarantined == []
    assert len(shop.search(text="cup", limit=50)) == COUNT
    with pytest.raises(UsageError, match="The item 'k5' has no picture to compare with"):
        shop.search(like="k5")
    picture(pictures / "5.png", 5)
    picture(pictures / "6.png", 6)
    report = reencode(shop)
    assert (report.swapped, report.pictures, report.copied) == (True, 4, 2 * COUNT - 4 + COUNT)
    assert verify(shop._core.folder).problems == []
    assert shop.info().previous == "colour"


def test_a_held_change_takes_in_what_came_meanwhile_and_swaps_with_the_next_run(
    shop: Catalog, pictures: Path, tmp_path: Path
) -> None:
    report = reencode(shop, "turned", hold=True)
    assert (report.swapped, shop._core.file.models, shop.info().upcoming) == (False, "colour", "turned")
    assert report.comparison is not None
    assert verify(shop._core.folder).problems == []
    picture(pictures / "new.png", 99)
    with (pictures / "feed.csv").open("a") as feed:
        feed.write("new,new.png,white cup,3\n")
    run(shop, pictures / "feed.csv")
    shop.optimize()
    shop.update(["k1"], titles=["blue cup"])
    shop.delete(keys=["k2"])
    report = reencode(shop)
    assert (report.swapped, report.pictures, report.titles) == (True, 1, 2)
    feed_text = (pictures / "feed.csv").read_text().replace("k1,1.png|2.png,green", "k1,1.png|2.png,blue")
    lines = [line for line in feed_text.splitlines() if not line.startswith("k2,")]
    (pictures / "feed.csv").write_text("\n".join(lines) + "\n")
    assert contents(shop) == made_anew(tmp_path / "new", pictures / "feed.csv", "turned")
    assert verify(shop._core.folder).problems == []


def test_a_title_changed_in_the_middle_is_that_of_the_new_set(shop: Catalog, models: dict[str, Encoder]) -> None:
    changed = False
    for report in Reencoding(shop._core, model="turned"):
        if report.phase == "Comparing" and not changed:
            shop.update(["k3"], titles=["green cup"])
            changed = True
    assert report.swapped and report.titles == COUNT + 1
    title = contents(shop)["k3"][2]
    assert title == models["turned"].encode_titles(["green cup"]).astype(np.float16)[0].tobytes()
    assert verify(shop._core.folder).problems == []


def test_after_the_way_back_what_is_new_is_made_and_forward_is_still_there(
    shop: Catalog, pictures: Path, tmp_path: Path
) -> None:
    reencode(shop, "turned")
    picture(pictures / "new.png", 99)
    with (pictures / "feed.csv").open("a") as feed:
        feed.write("new,new.png,white cup,3\n")
    run(shop, pictures / "feed.csv")
    report = roll_back(shop._core)
    assert (report.old, report.new, report.pictures, report.titles) == ("turned", "colour", 1, 1)
    assert "new" not in shop.search(image=pictures / "new.png", limit=50).keys
    filled = reencode(shop)
    assert (filled.pictures, filled.titles, filled.copied) == (1, 1, 3 * COUNT)
    assert contents(shop) == made_anew(tmp_path / "new", pictures / "feed.csv", "colour")
    assert shop.search(image=pictures / "new.png").keys[0] == "new"
    assert roll_back(shop._core).new == "turned"
    assert verify(shop._core.folder).problems == []
    assert contents(shop) == made_anew(tmp_path / "turned", pictures / "feed.csv", "turned")


def test_earlier_states_are_searched_by_the_new_model(shop: Catalog, pictures: Path, tmp_path: Path) -> None:
    feed = pictures / "feed.csv"
    rows = feed.read_text()
    expected = made_anew(tmp_path / "first", feed, "turned")
    shop.update(["k1"], titles=["white cup"])
    shop.delete(keys=["k20"])
    feed.write_text(rows.replace("k5,5.png|6.png", "k5,7.png").replace("k20,", "k99,"))
    run(shop, feed)
    newest = shop._core.records.version()[0]
    reencode(shop, "turned")
    assert contents(shop, as_of=1) == expected
    assert [contents(shop, as_of=seq)["k1"][0] for seq in range(1, newest + 1)] == [
        "green cup",
        *["white cup"] * 2,
        "green cup",
    ]
    image = pictures / "5.png"
    query = shop.encoder.encode_images([decode(image.read_bytes()).rgb])[0]
    best = {
        key: max(float(np.frombuffer(vectors["image"], np.float16) @ query) for _, vectors in held)
        for key, (_, held, _) in expected.items()
    }
    found = shop.search(image=image, limit=50, as_of=1)
    assert dict(zip(found.keys, found.scores, strict=True)) == pytest.approx(best, abs=2e-3)
    assert set(found.keys[:2]) == {"k4", "k5"}
    assert "k20" not in shop.search(image=image, limit=50).keys
    assert verify(shop._core.folder).problems == []


def test_the_models_are_compared_on_the_queries_that_the_catalog_keeps(
    shop: Catalog, pictures: Path, tmp_path: Path
) -> None:
    rows = [f'{{"text": "{COLOURS[n % 4]}", "image": "{n}.png", "relevant": ["k{n}", "k{n + 1}"]}}' for n in range(9)]
    (pictures / "queries.jsonl").write_text("\n".join(rows) + "\n")
    queries = read_queries(pictures / "queries.jsonl")
    assert shop.keep_queries(pictures / "queries.jsonl") == 9
    kept = shop.kept_queries()
    assert [(one.text, one.relevant) for one in kept] == [(one.text, one.relevant) for one in queries]
    assert all(one.image is not None and one.image.is_file() and pictures not in one.image.parents for one in kept)
    *_, old = evaluate(shop._core, queries)
    comparison = reencode(shop, "turned").comparison
    *_, new = evaluate(shop._core, queries)
    assert comparison is not None
    for side, expected in ((comparison.old, old), (comparison.new, new)):
        assert side.evaluation is not None
        for name in ("queries", "recall_at_1", "recall_at_5", "recall_at_10", "mrr", "ndcg_at_10"):
            assert getattr(side.evaluation, name) == pytest.approx(getattr(expected, name))
    shop.backup(tmp_path / "backup")
    with Catalog.open(_restored(tmp_path / "backup", tmp_path / "again")) as again:
        assert [one.relevant for one in again.kept_queries()] == [one.relevant for one in queries]
    assert comparison.items == COUNT and 0 < comparison.overlap <= 1
    same = [
        len(set(one.old) & set(one.new)) / 10
        for one in comparison.examples
        if one.old and shop.search(like=one.key).keys == list(one.new)
    ]
    assert len(same) == len(comparison.examples) == 3
    words_only = reencode(shop, "edge", hold=True).comparison
    assert words_only is not None and words_only.new.refused is not None
    assert "reads only pictures" in words_only.new.refused


def _restored(backup: Path, folder: Path) -> Path:
    Catalog.restore(backup, folder)
    return folder


def test_a_backup_in_the_middle_goes_on_elsewhere(shop: Catalog, pictures: Path, tmp_path: Path) -> None:
    for number in (5, 6):
        (pictures / f"{number}.png").rename(tmp_path / f"{number}.png")
    with pytest.raises(OriginalsMissing):
        reencode(shop, "turned")
    shop.backup(tmp_path / "backup.tar")
    for number in (5, 6):
        (tmp_path / f"{number}.png").rename(pictures / f"{number}.png")
    with Catalog.open(_restored(tmp_path / "backup.tar", tmp_path / "again")) as again:
        assert verify(again._core.folder).problems == []
        assert again._core.file.models == "colour"
        report = reencode(again)
        assert (report.swapped, report.pictures) == (True, 4)
        assert contents(again) == made_anew(tmp_path / "new", pictures / "feed.csv", "turned")
        again.export(tmp_path / "shop.parquet")
    with Catalog.create(tmp_path / "imported", model="turned") as imported:
        imported.import_parquet(tmp_path / "shop.parquet")
        assert contents(imported) == made_anew(tmp_path / "third", pictures / "feed.csv", "turned")


@pytest.mark.slow
def test_what_cannot_be_done_is_said(shop: Catalog, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to do: the catalog is made with colour, and every picture"):
        reencode(shop, "colour")
    with pytest.raises(UsageError, match="nothing to do"):
        reencode(shop)
    with pytest.raises(UsageError, match="nothing to do"):
        reencode(shop, looks="none")
    with pytest.raises(UsageError, match="There is nothing to go back to"):
        roll_back(shop._core)
    assert sum(forget(shop._core)) == 0
    reencode(shop, "turned", hold=True)
    with pytest.raises(UsageError, match="A change to turned is unfinished.*reencode shop;.*edge with --restart"):
        reencode(shop, "edge")
    with pytest.raises(UsageError, match="nothing to go back to"):
        roll_back(shop._core)
    assert reencode(shop, "edge", restart=True).swapped
    assert shop._core.file.models == "edge"
    assert contents(shop) == made_anew(tmp_path / "edge", pictures / "feed.csv", "edge")
    assert verify(shop._core.folder).problems == []
    reencode(shop, "turned", hold=True)
    with pytest.raises(UsageError, match="A change to turned is unfinished"):
        roll_back(shop._core)
    held = shop._core.records.count_vectors()
    assert len(held) > 3
    assert sum(forget(shop._core)) == sum(held.values()) - held[shop._core.file.spaces["image"].stored]
    assert shop._core.sets.stored == {shop._core.file.spaces["image"].stored}
    with shop._core.writer(), pytest.raises(CatalogBusy), Catalog.open(shop._core.folder) as other:
        reencode(other, "turned")
    with Catalog.create(tmp_path / "vectors", dim=3) as vectors, pytest.raises(UsageError, match="ready vectors"):
        reencode(vectors, "turned")
    shop.add_vectors(["bare"], np.ones((1, 16), np.float32))
    with pytest.raises(OriginalsMissing, match="1 item with a vector but no picture"):
        reencode(shop, "turned")
    assert reencode(shop, "turned", drop_missing=True).swapped


def test_vectors_made_before_a_swap_are_not_written_after_it(shop: Catalog) -> None:
    made_for = shop._core.file.stored
    reencode(shop, "turned")
    seq = shop._core.records.version()[0]
    with pytest.raises(CatalogBusy, match="model was changed while this was being written"):
        shop._core.records.update({"k1": ItemChange(title="red", title_vector=bytes(6))}, stored=made_for)
    assert shop._core.records.version()[0] == seq
    shop.update(["k1"], titles=["red"])
    assert shop.search(text="red", filter='key == "k1"').keys == ["k1"]
    assert roll_back(shop._core).titles == 1  # the title of before is not that of the item any more

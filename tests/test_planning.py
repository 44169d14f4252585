from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Unpack

import pytest
from typer.testing import CliRunner

from lookalike import Catalog
from lookalike.data.feeds.feed import open_feed
from lookalike.retrieval.ingest.dry_run import Action, Change, DryRun
from lookalike.retrieval.ingest.index_run import RunOptions
from lookalike.ui.cli.main import app
from lookalike.ui.cli.terminal import out
from tests.fakes import ColourEncoder
from tests.running import call, call_json, run
from tests.test_indexing import hostile_folder, picture, write_feed


@pytest.fixture
def catalog(tmp_path: Path, encoder: ColourEncoder) -> Iterator[Catalog]:
    for number in range(8):
        picture(tmp_path / f"{number}.png", number)
    with Catalog.create(tmp_path / "shop", model="compact") as made:
        yield made


def plan(catalog: Catalog, source: Path, **options: Unpack[RunOptions]) -> tuple[DryRun, list[Change]]:
    made = DryRun(catalog._core, open_feed(source, types=catalog._core.records.schema()), **options)
    return made, [change for change in made if change.action is not Action.LEAVE]


def counts(made: DryRun) -> dict[str, int]:
    return {action.value: count for action, count in made.counts.items() if count}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and "-shm" not in path.name}


def test_a_dry_run_says_what_a_run_then_does_and_writes_nothing(
    catalog: Catalog, tmp_path: Path, encoder: ColourEncoder
) -> None:
    rows = [f"k{number},{number}.png,t{number},{number}.5" for number in range(8)]
    run(catalog, write_feed(tmp_path, rows))
    picture(tmp_path / "3.png", 33)
    (tmp_path / "four.png").write_bytes((tmp_path / "4.png").read_bytes())
    (tmp_path / "bad.png").write_text("no")
    rows = [
        "k0,0.png,t0,9.5",  # another price
        "k1,1.png,another,1.5",  # another title
        "k2,2.png,t2,",  # no price
        "k3,3.png,t3,3.5",  # another picture under the same name
        "k4,four.png,t4,4.5",  # the same picture under another name
        "k5,bad.png,t5,5.5",  # no picture
        "new,5.png|bad.png,n,1",  # one picture of two
        "k6,6.png,t6,6.5",
    ]  # k7 is gone
    feed = write_feed(tmp_path, rows)
    encoder.batches.clear()
    before = files(tmp_path / "shop")
    made, changes = plan(catalog, feed, sync=True)
    assert files(tmp_path / "shop") == before
    assert not encoder.batches
    assert counts(made) == {"reprice": 2, "update": 3, "reject": 2, "add": 1, "unchanged": 1, "delete": 1}
    assert [(one.action, one.key, one.row, dict(one.fields), one.pictures, one.source) for one in changes] == [
        ("reprice", "k0", 1, {"price": (0.5, 9.5)}, None, None),
        ("update", "k1", 2, {"title": ("t1", "another")}, None, None),
        ("reprice", "k2", 3, {"price": (2.5, None)}, None, None),
        ("update", "k3", 4, {}, "changed", None),
        ("update", "k4", 5, {}, "renamed", None),
        ("reject", "k5", 6, {}, None, "bad.png"),
        ("reject", "new", 7, {}, None, "bad.png"),
        ("add", "new", 7, {}, None, None),
        ("delete", "k7", None, {}, None, None),
    ]
    assert made.pictures == {"changed": 1, "renamed": 1}
    assert (made.rows, made.missing, made.refused) == (8, 0, None)
    without, _ = plan(catalog, feed)
    assert (without.missing, counts(without).get("delete")) == (1, None)
    report = run(catalog, feed, sync=True)
    assert (report.added, report.updated, report.unchanged, report.rejected, report.deleted) == (1, 5, 1, 2, 1)
    assert counts(plan(catalog, feed, sync=True)[0]) == {"unchanged": 7, "reject": 2}


def test_a_dry_run_of_a_hostile_folder_rejects_what_the_run_rejects(catalog: Catalog, tmp_path: Path) -> None:
    hostile_folder(tmp_path / "pictures")
    made, changes = plan(catalog, tmp_path / "pictures")
    planned = {(one.key, one.reason) for one in changes if one.action is Action.REJECT}
    report = run(catalog, tmp_path / "pictures")
    assert planned == {(one.key, one.reason) for one in report.rejects}
    assert counts(made) == {"add": report.added, "reject": report.rejected}


def test_a_dry_run_knows_moved_files_and_a_removal_that_would_be_refused(catalog: Catalog, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for number in range(6):
        picture(folder / "old" / f"{number}.png", number)
    run(catalog, folder)
    (folder / "old").rename(folder / "new")
    made, changes = plan(catalog, folder, sync=True)
    assert counts(made) == {"rename": 6}
    assert {(one.old_key, one.key) for one in changes} == {(f"old/{n}.png", f"new/{n}.png") for n in range(6)}
    for number in range(4):
        (folder / "new" / f"{number}.png").unlink()
    made, _ = plan(catalog, folder, sync=True)
    assert counts(made) == {"rename": 2, "delete": 4}
    assert "4 of the 6" in (made.refused or "")
    assert made.missing == 4
    assert plan(catalog, folder, sync=True, force=True)[0].refused is None
    assert run(catalog, folder, sync=True, force=True).deleted == 4


def test_a_dry_run_of_a_retry_looks_at_failures_only(catalog: Catalog, tmp_path: Path) -> None:
    feed = write_feed(tmp_path, ["a,0.png,t,1", "b,gone.png,t,1", "c,none.png,t,1"])
    run(catalog, feed)
    picture(tmp_path / "gone.png", 9)
    made, changes = plan(catalog, feed, retry=True)
    assert (made.count, made.rows) == (2, 2)
    assert [(one.action, one.key) for one in changes] == [("add", "b"), ("reject", "c")]


def test_pictures_behind_addresses_are_not_fetched(catalog: Catalog, tmp_path: Path) -> None:
    feed = write_feed(tmp_path, ["a,http://127.0.0.1:9/a.png,t,1", "b,0.png,t,1"])
    made, _ = plan(catalog, feed)
    assert (counts(made), made.unfetched) == ({"add": 2}, 1)


def test_the_command_shows_a_dry_run(catalog: Catalog, tmp_path: Path) -> None:
    rows = [f"k{number},{number}.png,t,{number}.5" for number in range(8)]
    feed = write_feed(tmp_path, rows)
    found = call_json("index", tmp_path / "none", feed, "--dry-run", "--sync")
    assert (found["add"], found["delete"], len(found["changes"])) == (8, 0, 8)
    assert not (tmp_path / "none").exists()
    call("index", tmp_path / "shop", feed)
    write_feed(tmp_path, ["k0,0.png,t,7.25", *rows[1:6]])
    found = call_json("index", tmp_path / "shop", feed, "--dry-run", "--sync")
    expected = {"add": 0, "update": 0, "reprice": 1, "rename": 0, "delete": 2, "reject": 0, "unchanged": 5}
    assert {name: found[name] for name in expected} == expected
    assert found["refused"] is None
    assert found["changes"][0] == {
        "feed": "feed.csv",
        "action": "reprice",
        "key": "k0",
        "row": 1,
        "fields": {"price": {"old": 0.5, "new": 7.25}},
    }
    assert Counter(one["action"] for one in found["changes"]) == {"reprice": 1, "delete": 2}
    shown = " ".join(call("index", tmp_path / "shop", feed, "--dry-run").split())
    assert "Nothing was written" in shown
    assert "price: 0.5 -> 7.25" in shown
    assert "No longer in this feed, and kept: 2 items." in shown
    assert catalog.get(["k0"])[0].fields["price"] == 0.5


def test_a_dry_run_ends_as_a_refused_removal_would(catalog: Catalog, tmp_path: Path) -> None:
    rows = [f"k{number},{number}.png,t,{number}.5" for number in range(8)]
    feed = write_feed(tmp_path, rows)
    call("index", tmp_path / "shop", feed)
    write_feed(tmp_path, rows[:1])
    arguments = [str(one) for one in ("index", tmp_path / "shop", feed, "--sync")]
    for more in ([], ["--dry-run"], ["--dry-run", "--json"]):
        done = CliRunner().invoke(app, [*arguments, *more])
        assert done.exit_code == 1
        assert "7 of the 8" in " ".join(done.output.split())
    assert "7 of the 8" in json.loads(done.stdout)["refused"]
    assert call_json("index", tmp_path / "shop", feed, "--sync", "--dry-run", "--force")["delete"] == 7


def test_a_dry_run_shows_moments_as_dates(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(out, "_width", 160)
    feed = tmp_path / "feed.csv"
    for day, time in (("2026-03-01", "2026-01-01T10:30:00"), ("2026-05-31", "2026-01-01T10:30:00.5")):
        feed.write_text(f"key,image,added,seen,tags\na,0.png,{day},{time},\nb,1.png,2026-01-01,{time},\n")
        shown = " ".join(call("index", tmp_path / "shop", feed, "--dry-run").split())
        found = call_json("index", tmp_path / "shop", feed, "--dry-run")
        call("index", tmp_path / "shop", feed)
    assert "added: 2026-03-01 -> 2026-05-31" in shown
    assert "seen: 2026-01-01 10:30:00 UTC -> 2026-01-01 10:30:00.500000 UTC" in shown
    added = found["changes"][0]["fields"]["added"]
    assert added == {"old": "2026-03-01T00:00:00+00:00", "new": "2026-05-31T00:00:00+00:00"}


@pytest.mark.parametrize("more", [[], ["--dry-run"], ["--json"]])
def test_a_feed_of_a_header_alone_is_named(catalog: Catalog, tmp_path: Path, more: list[str]) -> None:
    feed = write_feed(tmp_path, [])
    done = CliRunner().invoke(app, ["index", str(tmp_path / "shop"), str(feed), *more])
    assert done.exit_code == 0
    assert "feed.csv has no rows. Check that its export ran to the end" in " ".join(done.stderr.split())
    assert "rejected in the ledger" not in done.output
    write_feed(tmp_path, ["a,0.png,t,1"])
    assert "has no rows" not in CliRunner().invoke(app, ["index", str(tmp_path / "shop"), str(feed), *more]).output
    retried = CliRunner().invoke(app, ["index", str(tmp_path / "shop"), str(feed), "--retry"])
    assert "No row is rejected in the ledger" in retried.stderr

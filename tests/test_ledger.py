from __future__ import annotations

import csv
import io
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lookalike import Catalog
from lookalike.data.errors import SyncRefused, UsageError
from lookalike.data.feeds.feed import feed_of_files, open_feed
from lookalike.retrieval.ingest.index_run import MOST_KEPT, IndexRun
from lookalike.retrieval.maintenance.verification import verify
from lookalike.retrieval.store.ledger import LedgerEntry
from lookalike.ui.cli.terminal import out
from tests.fakes import ColourEncoder
from tests.running import call, call_json, run
from tests.test_indexing import picture, write_feed

ROOT = Path(__file__).parent.parent


@pytest.fixture
def catalog(tmp_path: Path, encoder: ColourEncoder) -> Iterator[Catalog]:
    for number in range(8):
        picture(tmp_path / f"{number}.png", number)
    with Catalog.create(tmp_path / "shop", model="compact") as made:
        yield made
        assert made.verify().problems == []


def told(catalog: Catalog, feed: str | None = None) -> list[tuple[int, str | None, str | None, str, int]]:
    """Row, key, picture, state and attempts of every entry."""
    return [(one.row, one.key, one.source, one.state.value, one.attempts) for one in catalog.ledger(feed=feed)]


def entry(catalog: Catalog, key: str) -> LedgerEntry:
    (found,) = [one for one in catalog.ledger() if one.key == key]
    return found


def test_every_row_has_a_state_a_reason_and_its_attempts(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no")
    rows = ["a,0.png,t,1", "b,1.png|bad.png,t,2", "c,bad.png,t,3", ",2.png,t,4", "a,3.png,t,5", "d,,t,6"]
    report = run(catalog, write_feed(tmp_path, rows))
    assert (report.added, report.rejected) == (2, 5)
    rejected: list[tuple[int, str | None, str | None]] = [
        (2, "b", "bad.png"),
        (3, "c", "bad.png"),
        (4, None, None),
        (5, "a", None),
        (6, "d", None),
    ]
    taken = [(1, "a", None), (2, "b", None)]
    assert sorted(told(catalog), key=str) == sorted(
        [(*one, "indexed", 1) for one in taken] + [(*one, "rejected", 1) for one in rejected], key=str
    )
    assert all(one.reason for one in catalog.ledger(state="rejected"))
    assert all(one.reason is None and one.commit == 1 for one in catalog.ledger(state="indexed"))
    assert catalog.info().rejected == 5
    again = run(catalog, write_feed(tmp_path, rows))
    assert (again.unchanged, again.rejected) == (2, 5)
    assert sorted(told(catalog), key=str) == sorted(
        [(*one, "rejected", 2) for one in rejected] + [(*one, "unchanged", 1) for one in taken], key=str
    )
    assert entry(catalog, "d").first_run == 1
    assert entry(catalog, "d").last_run == 2
    assert entry(catalog, "d").first_seen < entry(catalog, "d").last_seen


def test_a_mended_row_and_a_mended_picture_are_indexed(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no")
    rows = ["a,0.png|bad.png,t,1", "b,bad.png|gone.png,t,2", ",2.png,t,3"]
    run(catalog, write_feed(tmp_path, rows))
    assert len(list(catalog.ledger(state="rejected"))) == 4
    picture(tmp_path / "bad.png", 9)
    report = run(catalog, write_feed(tmp_path, [*rows[:2], "c,2.png,t,3"]))
    assert (report.added, report.updated, report.rejected) == (2, 1, 1)
    assert told(catalog) == [
        (1, "a", None, "indexed", 2),
        (2, "b", None, "indexed", 2),
        (2, "b", "gone.png", "rejected", 2),
        (3, "c", None, "indexed", 1),
    ]


def test_a_row_whose_value_is_bad_is_known_by_its_key(catalog: Catalog, tmp_path: Path) -> None:
    good = [f"k{number},{number % 8}.png,t,{number}.5" for number in range(40)]
    run(catalog, write_feed(tmp_path, good))
    report = run(catalog, write_feed(tmp_path, [*good[:7], "k7,7.png,t,1,2,3", *good[8:]]), sync=True)
    assert (report.rejected, report.deleted, catalog.count()) == (1, 0, 40)
    assert entry(catalog, "k7").state == "rejected"
    assert "6 cells" in (entry(catalog, "k7").reason or "")
    assert run(catalog, write_feed(tmp_path, good), retry=True).unchanged == 1
    assert entry(catalog, "k7").state == "unchanged"


def test_a_second_row_of_a_key_is_rejected_even_if_the_first_was(catalog: Catalog, tmp_path: Path) -> None:
    many = [f"k{number},{number % 8}.png,t,{number}.5" for number in range(40)]
    for rows in (["x,0.png,t,1,2", "x,1.png,t,1"], ["x,0.png,t,1", "x,1.png,t,1,2"], ["x,0.png,t,1,2"] * 2):
        run(catalog, write_feed(tmp_path, [*rows, *many]))
        found = sorted((one.row, one.state == "rejected") for one in catalog.ledger() if one.key == "x")
        assert found == [(1, rows[0].count(",") > 3), (2, True)]


def test_retry_takes_only_failures(catalog: Catalog, tmp_path: Path, encoder: ColourEncoder) -> None:
    (tmp_path / "bad.png").write_text("no")
    rows = ["a,0.png,t,1", "b,bad.png,t,2", "c,1.png|gone.png,t,3", ",2.png,t,4", "b,3.png,t,5", "d,gone.png,t,6"]
    run(catalog, write_feed(tmp_path, rows))
    encoder.batches.clear()
    picture(tmp_path / "bad.png", 9)
    for number in (0, 1):  # what was well is not even looked at
        picture(tmp_path / f"{number}.png", 20 + number)
    rows[3] = "e,2.png,t,4"
    feed = open_feed(write_feed(tmp_path, rows), types=catalog._core.records.schema())
    retried = IndexRun(catalog._core, feed, retry=True)
    assert retried.count == 5
    *_, report = retried
    assert (report.rows, report.added, report.updated, report.unchanged, report.rejected) == (5, 2, 1, 0, 3)
    assert sum(encoder.batches) == 3
    assert told(catalog) == [
        (1, "a", None, "indexed", 1),
        (2, "b", None, "indexed", 2),
        (3, "c", None, "indexed", 2),
        (3, "c", "gone.png", "rejected", 2),
        (4, "e", None, "indexed", 1),
        (5, "b", None, "rejected", 2),
        (6, "d", "gone.png", "rejected", 2),
    ]
    (tmp_path / "gone.png").write_bytes((tmp_path / "5.png").read_bytes())
    assert run(catalog, tmp_path / "feed.csv", retry=True).rejected == 1
    assert run(catalog, write_feed(tmp_path, rows[:4] + rows[5:])).rejected == 0
    nothing = run(catalog, tmp_path / "feed.csv", retry=True)
    assert (nothing.rows, nothing.unchanged) == (0, 0)


def test_what_a_feed_has_no_more_is_missing_and_removed_only_when_asked(catalog: Catalog, tmp_path: Path) -> None:
    rows = [f"k{number},{number}.png,t,{number}" for number in range(5)]
    run(catalog, write_feed(tmp_path, rows))
    report = run(catalog, write_feed(tmp_path, rows[:3]))
    assert (report.missing, report.deleted, catalog.count()) == (2, 0, 5)
    assert [one.key for one in catalog.ledger(state="missing")] == ["k3", "k4"]
    assert entry(catalog, "k3").last_run == 1
    commits = len(catalog.log())
    report = run(catalog, write_feed(tmp_path, rows[:3]), sync=True)
    assert (report.missing, report.deleted, catalog.count()) == (0, 2, 3)
    newest = catalog.log()[0]
    assert (newest.summary, newest.deleted, len(catalog.log())) == ("sync feed.csv", 2, commits + 1)
    assert catalog.count(as_of=newest.seq - 1) == 5
    assert "removed" in (entry(catalog, "k3").reason or "")
    assert entry(catalog, "k3").commit == newest.seq
    assert run(catalog, write_feed(tmp_path, rows[:3]), sync=True).deleted == 0
    assert run(catalog, write_feed(tmp_path, rows), sync=True).added == 2
    assert entry(catalog, "k3").state == "indexed"


def test_an_item_stays_while_one_of_two_feeds_has_it(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "other.csv"
    shared, both = ["a,../0.png,t,1", "b,../1.png,t,1", "c,../2.png,t,1"], ["a,0.png,t,1", "b,1.png,t,1", "c,2.png,t,1"]
    run(catalog, write_feed(tmp_path, [*both, "mine,3.png,t,1"]))
    write_feed(tmp_path / "other", shared).rename(other)
    run(catalog, other)
    catalog.add_vectors(["by hand"], [[1.0] * 12])
    report = run(catalog, write_feed(tmp_path, [*both[:2], "mine,3.png,t,1"]), sync=True)
    assert (report.deleted, report.missing, catalog.count()) == (0, 1, 5)
    write_feed(tmp_path / "other", shared[:2]).rename(other)
    report = run(catalog, other, sync=True)
    assert (report.deleted, catalog.keys(["a", "b", "c", "mine", "by hand"])) == (1, ["a", "b", "mine", "by hand"])


def test_an_item_that_others_made_anew_under_its_key_is_not_the_feeds(catalog: Catalog, tmp_path: Path) -> None:
    rows = ["a,0.png,t,1", "b,1.png,t,1", "c,2.png,t,1"]
    run(catalog, write_feed(tmp_path, rows))
    catalog.delete(keys=["c"])
    catalog.add_vectors(["c"], [[1.0] * 12])
    assert run(catalog, write_feed(tmp_path, rows[:2]), sync=True).deleted == 0
    assert catalog.keys(["c"]) == ["c"]


def test_a_feed_that_was_cut_short_empties_nothing(catalog: Catalog, tmp_path: Path) -> None:
    rows = [f"k{number},{number}.png,t,{number}" for number in range(8)]
    run(catalog, write_feed(tmp_path, rows))
    seq = catalog.log()[0].seq
    with pytest.raises(SyncRefused, match="5 of the 8"):
        run(catalog, write_feed(tmp_path, [*rows[:2], "k2,2.png,t,99"]), sync=True)
    assert catalog.count() == 8
    assert catalog.log()[0].seq == seq
    assert run(catalog, write_feed(tmp_path, rows[:4]), sync=True).deleted == 4
    assert run(catalog, write_feed(tmp_path, rows[:1]), sync=True, force=True).deleted == 3
    assert catalog.count() == 1


def test_rows_whose_key_cannot_be_read_may_be_any(catalog: Catalog, tmp_path: Path) -> None:
    rows = [f"k{number},{number}.png,t,{number}" for number in range(8)]
    run(catalog, write_feed(tmp_path, rows))
    with pytest.raises(SyncRefused, match="1 row without a readable key"):
        run(catalog, write_feed(tmp_path, [*rows[:7], 'k7,"7.png']), sync=True)
    assert catalog.count() == 8
    report = run(catalog, write_feed(tmp_path, [*rows[:7], 'k7,"7.png']), sync=True, force=True)
    assert (report.deleted, report.rejected) == (1, 1)


def test_a_run_that_is_stopped_removes_nothing_and_finds_nothing_missing(catalog: Catalog, tmp_path: Path) -> None:
    rows = [f"k{number},{number}.png,t,{number}" for number in range(8)]
    run(catalog, write_feed(tmp_path, rows))
    feed = open_feed(write_feed(tmp_path, rows[:6]), types=catalog._core.records.schema())
    for report in IndexRun(catalog._core, feed, sync=True):
        if report.rows == 4:
            break
    assert catalog.count() == 8
    assert not list(catalog.ledger(state="missing"))


def test_a_feed_that_ends_in_an_error_removes_nothing(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"k{number},{number}.png,t,{number}" for number in range(8)]
    run(catalog, write_feed(tmp_path, rows))
    feed = open_feed(write_feed(tmp_path, rows[:6]), types=catalog._core.records.schema())
    (tmp_path / "feed.csv").unlink()
    with pytest.raises(OSError, match="No such file"):
        list(IndexRun(catalog._core, feed, sync=True))
    assert catalog.count() == 8
    assert not list(catalog.ledger(state="missing"))


def test_a_moved_file_is_a_rename(catalog: Catalog, tmp_path: Path, encoder: ColourEncoder) -> None:
    folder = tmp_path / "photos"
    for number in range(4):
        picture(folder / "old" / f"{number}.png", number)
    run(catalog, folder)
    encoder.batches.clear()
    (folder / "old").rename(folder / "new")
    (folder / "new" / "3.png").unlink()
    picture(folder / "new" / "fresh.png", 77)
    report = run(catalog, folder, sync=True)
    assert (report.added, report.renamed, report.deleted, report.missing) == (1, 3, 1, 0)
    assert sum(encoder.batches) == 1
    assert {(one.old, one.new) for one in report.renames} == {(f"old/{n}.png", f"new/{n}.png") for n in range(3)}
    assert {item.key for item in catalog.items()} == {"new/0.png", "new/1.png", "new/2.png", "new/fresh.png"}
    moved = [one for one in catalog.log() if one.added and one.deleted]
    assert [(one.added, one.deleted) for one in moved] == [(4, 3)]
    assert {item.key for item in catalog.items(as_of=1)} == {f"old/{number}.png" for number in range(4)}
    assert entry(catalog, "old/1.png").reason == "It is 'new/1.png' now."
    assert catalog.search(image=folder / "new" / "1.png", limit=1).keys == ["new/1.png"]
    assert run(catalog, folder, sync=True).unchanged == 4


def test_a_folder_that_cannot_be_listed_takes_nothing_away(catalog: Catalog, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for number in range(4):
        picture(folder / "a" / f"{number}.png", number)
    run(catalog, folder)
    (folder / "a" / "3.png").unlink()
    inner = os.open(folder, os.O_RDONLY)
    for _ in range(20):  # in the end a path too long for the system
        os.mkdir("x" * 250, dir_fd=inner)
        outer, inner = inner, os.open("x" * 250, os.O_RDONLY, dir_fd=inner)
        os.close(outer)
    os.close(inner)
    report = run(catalog, folder)
    assert (report.unchanged, report.rejected, report.missing) == (3, 1, 1)
    assert "cannot be listed" in report.rejects[0].reason
    with pytest.raises(SyncRefused, match="folders that cannot be listed"):
        run(catalog, folder, sync=True)
    assert catalog.count() == 4


def test_a_product_whose_picture_another_has_is_no_rename(catalog: Catalog, tmp_path: Path) -> None:
    run(catalog, write_feed(tmp_path, ["a,0.png,t,1", "b,1.png,t,1"]))
    report = run(catalog, write_feed(tmp_path, ["c,0.png,t,1", "b,1.png,t,1"]), sync=True)
    assert (report.added, report.renamed, report.deleted) == (1, 0, 1)


def test_feeds_of_one_name_can_be_told_apart(catalog: Catalog, tmp_path: Path) -> None:
    rows = ["a,0.png,t,1", "b,1.png,t,1"]
    call("index", tmp_path / "shop", write_feed(tmp_path, rows), "--feed", "monday")
    call("index", tmp_path / "shop", write_feed(tmp_path, rows[:1]), "--feed", "tuesday", "--sync")
    assert catalog.count() == 2
    call("index", tmp_path / "shop", write_feed(tmp_path, rows[:1]), "--feed", "monday", "--sync")
    assert catalog.count() == 1
    with pytest.raises(UsageError, match="no feed 'wednesday'; it has 'monday', 'tuesday'"):
        catalog.ledger(feed="wednesday")
    with pytest.raises(UsageError, match="indexed, unchanged, rejected, warning, missing"):
        catalog.ledger(state="lost")
    with pytest.raises(UsageError, match="1 or more"):
        catalog.ledger(limit=0)


def test_sync_and_retry_exclude_each_other(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not both"):
        run(catalog, write_feed(tmp_path, ["a,0.png,t,1"]), sync=True, retry=True)


def test_a_run_over_some_files_finds_no_others_missing(catalog: Catalog, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for number in range(3):
        picture(folder / f"{number}.png", number)
    (folder / "bad.png").write_text("no")
    run(catalog, folder)
    picture(folder / "2.png", 9)
    *_, report = IndexRun(catalog._core, feed_of_files(folder, [b"2.png"]), partial=True)
    assert (report.rows, report.updated, report.missing) == (1, 1, 0)
    assert {(one.key, one.state.value) for one in catalog.ledger()} == {
        ("0.png", "indexed"),
        ("1.png", "indexed"),
        ("2.png", "indexed"),
        ("bad.png", "rejected"),
    }
    assert catalog._core.records.remove_missing("photos", ["bad.png"], [], summary="watch") == 0
    assert [one.key for one in catalog.ledger(state="missing")] == ["bad.png"]


def test_several_feeds_are_compared_and_synced_each_by_itself(catalog: Catalog, tmp_path: Path) -> None:
    rows = ["a,0.png,t,1", "b,1.png,t,1", "c,2.png,t,1"]
    write_feed(tmp_path, rows).rename(tmp_path / "one.csv")
    write_feed(tmp_path, ["d,3.png,t,1", "e,4.png,t,1"]).rename(tmp_path / "two.csv")
    feeds = tmp_path / "one.csv", tmp_path / "two.csv"
    planned = call_json("index", tmp_path / "shop", *feeds, "--dry-run")
    assert [(one["feed"], one["key"]) for one in planned["changes"]] == [
        *(("one.csv", key) for key in "abc"),
        *(("two.csv", key) for key in "de"),
    ]
    assert call_json("index", tmp_path / "shop", *feeds)["added"] == planned["add"] == 5
    write_feed(tmp_path, [*rows[:2], "e,4.png,t,1"]).rename(tmp_path / "one.csv")
    found = call_json("index", tmp_path / "shop", *feeds, "--sync")
    assert (found["deleted"], found["rejected"]) == (1, 1)
    assert catalog.keys(list("abcde")) == ["a", "b", "d", "e"]
    assert "--feed names one source" in call("index", tmp_path / "shop", *feeds, "--feed", "x", code=2)
    assert "--watch takes" in call("index", tmp_path / "shop", feeds[0], "--watch", "--retry", code=2)


def test_a_purge_forgets_what_was_removed_before(catalog: Catalog, tmp_path: Path) -> None:
    rows = [f"k{number},{number}.png,t,{number}" for number in range(4)]
    run(catalog, write_feed(tmp_path, rows))
    run(catalog, write_feed(tmp_path, rows[:3]), sync=True)
    run(catalog, write_feed(tmp_path, rows[:2]), sync=True)
    assert len(list(catalog.ledger(state="missing"))) == 2
    catalog.purge(catalog.log()[0].seq)
    assert [one.key for one in catalog.ledger(state="missing")] == ["k2"]


def test_a_report_keeps_few_rejects_and_the_ledger_all(catalog: Catalog, tmp_path: Path) -> None:
    report = run(catalog, write_feed(tmp_path, [f"k{number},gone.png,t,1" for number in range(MOST_KEPT + 50)]))
    assert (report.rejected, len(report.rejects)) == (MOST_KEPT + 50, MOST_KEPT)
    listed = list(catalog._core.records.ledger.rejects_of(report.run))
    assert [one.row for one in listed] == list(range(1, MOST_KEPT + 51))
    assert [one.row for one in itertools.islice(catalog.ledger(limit=3), 9)] == [1, 2, 3]


def test_a_backup_a_repair_and_an_import_have_their_ledgers(catalog: Catalog, tmp_path: Path) -> None:
    run(catalog, write_feed(tmp_path, ["a,0.png,t,1", "b,gone.png,t,1"]))
    catalog.backup(tmp_path / "backups")
    Catalog.restore(tmp_path / "backups", tmp_path / "again")
    catalog.export(tmp_path / "out.parquet")
    with Catalog.open(tmp_path / "again") as again:
        assert list(again.ledger()) == list(catalog.ledger())
        assert run(again, tmp_path / "feed.csv").unchanged == 1
        assert again.import_parquet(tmp_path / "out.parquet").unchanged == 1
        assert told(again, "out.parquet") == [(1, "a", None, "unchanged", 0)]
        assert told(again, "feed.csv")[0] == (1, "a", None, "unchanged", 1)
    assert verify(tmp_path / "again").problems == []


def test_the_command_lists_the_ledger(catalog: Catalog, tmp_path: Path) -> None:
    feed = write_feed(tmp_path, ["a,0.png,t,1", "=1+1,gone.png,t,1", "-b,1.png,t,1", "@c,gone.png,t,1"])
    report = call_json("index", tmp_path / "shop", feed)
    assert [(one["row"], one["key"], one["image"]) for one in report["rejects"]] == [
        (2, "=1+1", "gone.png"),
        (4, "@c", "gone.png"),
    ]
    assert (report["added"], report["rejected"], report["missing"]) == (2, 2, 0)
    listed = call_json("ledger", tmp_path / "shop", "--state", "rejected", "--feed", "feed.csv", "--limit", 1)
    assert listed["counts"] == {"indexed": 2, "unchanged": 0, "rejected": 2, "warning": 0, "missing": 0}
    assert [(one["key"], one["image"], one["attempts"]) for one in listed["entries"]] == [("=1+1", "gone.png", 1)]
    table = list(csv.DictReader(io.StringIO(call("ledger", tmp_path / "shop", "--csv"))))
    assert [row["key"] for row in table] == ["a", "'=1+1", "'-b", "'@c"]
    assert [row["state"] for row in table] == ["indexed", "rejected", "indexed", "rejected"]
    shown = call("ledger", tmp_path / "shop", "--state", "rejected", "--limit", 1)
    assert "2 rejected" in shown
    assert "and 1 more" in shown
    assert "indexed, unchanged, rejected, warning, missing" in " ".join(
        call("ledger", tmp_path / "shop", "--state", "lost", code=2).split()
    )
    assert "not both" in call("ledger", tmp_path / "shop", "--csv", "--json", code=2)
    assert "--force goes with --sync" in call("index", tmp_path / "shop", feed, "--force", code=2)
    assert "0 added, 0 updated, 0 unchanged, 2 rejected" in call("index", tmp_path / "shop", feed, "--retry")
    refused = call("index", tmp_path / "shop", write_feed(tmp_path, ["x,0.png,t,1"]), "--sync", code=1)
    assert "--sync --force" in " ".join(refused.split())


@pytest.mark.slow
def test_a_reader_of_the_ledger_may_stop_reading(catalog: Catalog, tmp_path: Path) -> None:
    run(catalog, write_feed(tmp_path, [f"k{number},gone.png,t,1" for number in range(3000)]))
    for form in ("--csv", "--json"):
        command = [sys.executable, "-m", "lookalike", "ledger", str(tmp_path / "shop"), form]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
        process.stderr.close()
        assert process.wait() in (0, 1)


def test_the_ledger_shows_whole_dates_on_a_terminal_of_80_columns(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(tmp_path / "0.png", 0)
    feed = write_feed(tmp_path, ["k0,0.png,t,1", "k1,gone.png,t,1"])
    call("index", tmp_path / "shop", feed)
    call("backup", tmp_path / "shop", tmp_path / "backup")
    monkeypatch.setattr(out, "_width", 80)
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    for arguments in (("ledger", tmp_path / "shop"), ("log", tmp_path / "shop"), ("backups", tmp_path / "backup")):
        shown = call(*arguments)
        assert re.search(rf"│ {day} \d\d:\d\d(:\d\d)? │", shown), shown
        assert "…" not in shown

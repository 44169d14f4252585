"""The command that lists what became of the rows of feeds."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable
from typing import Annotated, Final

import typer
from rich.table import Column, Table

from lookalike import Catalog
from lookalike.data.errors import UsageError
from lookalike.retrieval.store.ledger import LedgerEntry
from lookalike.ui.cli.json_output import print_json_list
from lookalike.ui.cli.options import CatalogArgument, JsonOption
from lookalike.ui.cli.terminal import out, plain

__all__ = ["app"]

app = typer.Typer()

_SHOWN_ENTRIES: Final = 50
_READ_AS_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS: Final = ("feed", "row", "key", "image", "state", "reason", "attempts", "first_seen", "last_seen", "commit")


@app.command()
def ledger(
    catalog: CatalogArgument,
    state: Annotated[
        str | None, typer.Option(help="Only rows in this state: indexed, unchanged, rejected, warning or missing.")
    ] = None,
    feed: Annotated[str | None, typer.Option(help="Only rows of this feed.")] = None,
    limit: Annotated[
        int | None,
        typer.Option(help="Number of rows.", min=1, show_default=f"{_SHOWN_ENTRIES} on the screen, else all"),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, for a spreadsheet.")] = False,
    json: JsonOption = False,
) -> None:
    """List what became of every row of every feed.

    Each row comes with its reason, the number of attempts, and when it was first and last seen.
    """
    if as_csv and json:
        raise UsageError("The ledger is printed as CSV or as JSON, not both.", remedy="Leave out --csv or --json.")
    with Catalog.open(catalog) as opened:
        counts = {name.value: count for name, count in opened.ledger_counts(feed).items()}
        shown = _SHOWN_ENTRIES if limit is None and not (as_csv or json) else limit
        entries = opened.ledger(state=state, feed=feed, limit=shown)
        if as_csv:
            _print_csv(entries)
        elif json:
            print_json_list("entries", map(_facts, entries), lambda: {"counts": counts})
        else:
            _show(list(entries), counts, counts[state] if state else sum(counts.values()))


def _show(entries: list[LedgerEntry], counts: dict[str, int], total: int) -> None:
    out.print(", ".join(f"[bold]{count:,}[/] {name}" for name, count in counts.items()), highlight=False)
    if not entries:
        return
    feed, key, why = (Column(name, overflow="fold") for name in ("feed", "key", "why"))
    row, tried = (Column(name, justify="right", no_wrap=True) for name in ("row", "tried"))
    state, seen = (Column(name, no_wrap=True) for name in ("state", "seen (UTC)"))
    table = Table(feed, row, key, state, why, tried, seen)
    for one in entries:
        reason = ": ".join(filter(None, (one.source, one.reason)))
        moments = dict.fromkeys(f"{moment:%Y-%m-%d %H:%M}" for moment in (one.first_seen, one.last_seen))
        seen_at = "\n".join(moments)  # the first and the last time, which are the same for most rows
        texts = map(plain, (one.feed, str(one.row), one.key or "", one.state, reason, str(one.attempts), seen_at))
        table.add_row(*texts)
    out.print(table)
    if total > len(entries):
        out.print(f"... and {total - len(entries):,} more; list them with --limit, --csv or --json.", highlight=False)


def _print_csv(entries: Iterable[LedgerEntry]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for one in entries:
        writer.writerow(_safe(value) for value in _facts(one).values())


def _safe(value: object) -> object:
    """Quote a text that a spreadsheet would read as a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_READ_AS_FORMULAS) else value


def _facts(one: LedgerEntry) -> dict[str, object]:
    moments = (moment.isoformat() for moment in (one.first_seen, one.last_seen))
    values = one.feed, one.row, one.key, one.source, one.state.value, one.reason, one.attempts, *moments, one.commit
    return dict(zip(_COLUMNS, values, strict=True))

"""The report of an indexing run on the screen."""

from __future__ import annotations

from typing import Final

from lookalike.data.counted import counted
from lookalike.data.fetch.fetched import FetchCounts
from lookalike.retrieval.ingest.index_run import IndexReport
from lookalike.ui.cli.terminal import out, plain

__all__ = ["fetched_words", "show_report"]

_MAX_SHOWN: Final = 10
"""Rejects and renames that are printed; the ledger has all of them."""


def show_report(report: IndexReport, *, name: str | None = None) -> None:
    """Print what became of a feed, and its first rejects and renames; `name` tells it from other feeds of the run."""
    counts = [f"[bold]{report.added:,}[/] added, [bold]{report.updated:,}[/] updated, {report.unchanged:,} unchanged"]
    more = {"renamed": report.renamed, "deleted": report.deleted}
    counts += [f"[bold]{count:,}[/] {what}" for what, count in more.items() if count]
    out.print(
        (f"{plain(name)}: " if name else "")
        + f"{', '.join(counts)}, [bold]{report.rejected:,}[/] rejected in {report.seconds:.1f} s"
        + (f" ({report.images_per_second:.0f} pictures a second)" if report.encoded else ""),
        highlight=False,
    )
    if report.fetched.requested:
        out.print(fetched_words(report.fetched), highlight=False)
    for one in report.rejects[:_MAX_SHOWN]:
        where = f" ({one.source})" if one.source else ""
        out.print(f"  row {one.row}{plain(where)}: {plain(one.reason)}", highlight=False)
    if report.rejected > _MAX_SHOWN:
        more_rejects = report.rejected - _MAX_SHOWN
        out.print(f"  ... and {more_rejects:,} more: lookalike ledger CATALOG --state rejected", highlight=False)
    if report.warnings:
        without = "it" if report.warnings == 1 else "them"
        out.print(
            f"{counted(report.warnings, 'value')} could not be used; the items were indexed without {without}:",
            highlight=False,
        )
    for row, warning in report.warned[:_MAX_SHOWN]:
        out.print(f"  row {row}: {plain(warning.sentence)}", highlight=False)
    if report.warnings > _MAX_SHOWN:
        more_warnings = report.warnings - _MAX_SHOWN
        out.print(f"  ... and {more_warnings:,} more: lookalike ledger CATALOG --state warning", highlight=False)
    for rename in report.renames[:_MAX_SHOWN]:
        out.print(f"  {plain(rename.old)} is now {plain(rename.new)}", highlight=False)
    if report.missing:
        out.print(
            f"No longer in this feed, and kept in the catalog: {counted(report.missing, 'item')}. "
            "To remove what no other feed has, add --sync.",
            highlight=False,
        )


def fetched_words(counts: FetchCounts) -> str:
    """Describe what was fetched: "12 pictures fetched (3.4 MB), 5 unchanged there"."""
    unchanged = f", {counts.unchanged:,} unchanged there" if counts.unchanged else ""
    return f"{counted(counts.fetched, 'picture')} fetched ({counts.bytes / 1e6:,.1f} MB){unchanged}"

"""Recall that was measured, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Column, Table

from lookalike.retrieval.search.recall import QueriesFrom, RecallReport
from lookalike.ui.cli.terminal import out, plain

__all__ = ["show_recall"]

_WORDS = {
    QueriesFrom.LIVE: "the last queries of this process",
    QueriesFrom.HELD_OUT: "items at random, each left out of its own answer",
    QueriesFrom.GIVEN: "the queries given",
}


def show_recall(reports: Sequence[RecallReport]) -> None:
    """Print what was measured, a table for each space."""
    for report in reports:
        numbers = [Column(name, justify="right") for name in ("share", "items", "asked for", f"recall@{report.limit}")]
        table = Table(
            *numbers,
            Column("how", overflow="fold"),
            title=f"space {plain(report.space)}: {report.queries:,} queries, {_WORDS[report.queries_from]}",
        )
        for one in report.figures:
            how = "exact" if one.exact else plain(one.plan)
            table.add_row(f"{one.share:.0%}", f"{one.items:,}", f"{one.target:g}", f"{one.recall:.4f}", how)
        out.print(table)

"""The screen of `index --watch`: one line that changes on a terminal, or one line for each change in a log."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TypedDict

from lookalike import Catalog
from lookalike.data.counted import counted
from lookalike.data.fetch.settings import FetchSettings
from lookalike.retrieval.ingest.watch import Look, Watch
from lookalike.ui.cli.terminal import err, plain

__all__ = ["Columns", "show_watch", "watch_of"]


class Columns(TypedDict):
    """The columns that the command line names; None for those to find by their names."""

    key: str | None
    image: str | None
    title: str | None


def watch_of(catalog: Catalog, source: Path, columns: Columns, fetch: FetchSettings) -> Watch:
    """Build the watch of one source, which is reopened with the catalog's field types at every change."""
    return catalog.watch(source, **columns, fetch=fetch)


def show_watch(watch: Watch) -> None:
    """Watch until interrupted."""
    err.print(f"Watching {plain(watch.feed.name)}; press Ctrl+C to stop.", highlight=False)
    trouble = None
    last = ""
    try:
        with err.status("") as line:
            for look in watch:
                now = datetime.now().strftime("%H:%M:%S")
                if done := _done(look):
                    last = f"{now} {done}"
                    if not err.is_terminal:
                        err.print(last, highlight=False)
                if look.trouble != trouble:
                    trouble = look.trouble
                    err.print(f"{now} {plain(trouble or 'Watching again.')}", style="yellow", highlight=False)
                waiting = f"{look.unsettled:,} still being written" if look.unsettled else ""
                parts = (counted(look.files, "file"), waiting, f"last: {last}" if last else "")
                line.update(", ".join(part for part in parts if part))
    except KeyboardInterrupt:
        err.print("Stopped watching; everything done so far is written and safe.")


def _done(look: Look) -> str:
    """Describe what was done; empty if nothing was."""
    report = look.report
    counts = {"removed": look.removed}
    if report is not None:
        counts = {
            "added": report.added,
            "updated": report.updated,
            "removed": look.removed,
            "rejected": report.rejected,
        }
    parts = [f"{count:,} {what}" for what, count in counts.items() if count]
    return ", ".join([*parts, *(["index built"] if look.optimized else [])])

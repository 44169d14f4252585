"""What `index --watch` shows: one quiet line on a terminal, and a line for each change in a log."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TypedDict

from lookalike import Catalog
from lookalike.data.fetch.settings import FetchSettings
from lookalike.retrieval.ingest.watch import Look, Watch
from lookalike.ui.cli.terminal import err, plain

__all__ = ["Columns", "show_watch", "watch_of"]


class Columns(TypedDict):
    """The columns that the caller names."""

    key: str | None
    image: str | None
    title: str | None


def watch_of(catalog: Catalog, source: Path, columns: Columns, fetch: FetchSettings) -> Watch:
    """Make the watch of one source, which is opened anew with the types that the catalog has by then."""
    return catalog.watch(source, **columns, fetch=fetch)


def show_watch(watch: Watch) -> None:
    """Watch until interrupted."""
    err.print(f"Watching {plain(watch.feed.name)}; Ctrl+C ends it.", highlight=False)
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
                    err.print(f"{now} {plain(trouble or 'It goes on.')}", style="yellow", highlight=False)
                waiting = f"{look.unsettled:,} not settled yet" if look.unsettled else ""
                parts = (f"{look.files:,} files", waiting, f"last: {last}" if last else "")
                line.update(", ".join(part for part in parts if part))
    except KeyboardInterrupt:
        err.print("Stopped watching: what was done is written and safe.")


def _done(look: Look) -> str:
    """Say what was done, nothing where nothing was."""
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

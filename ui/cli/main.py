"""The entry point of the command line: find a command, run it, and turn an error into sentences and an exit code."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from lookalike.data.errors import LookalikeError
from lookalike.data.garbage_collection import collector_paused
from lookalike.ui.cli.terminal import err, plain
from lookalike.ui.errors import exit_code_of
from lookalike.ui.process import configure

__all__ = ["COMMANDS", "app", "main"]

_HERE = "lookalike.ui.cli"

COMMANDS: Mapping[str, tuple[str, str]] = {
    "demo": ("demo_command", "Index the sample shop that comes with Lookalike and open its page."),
    "index": ("index_command", "Index a catalogue: write new and changed items and leave the rest alone."),
    "search": ("search_command", "Search by words, by pictures, by items, or by all of them, within a filter."),
    "serve": ("serve_command", "Serve the page and the REST API."),
    "info": ("info_command", "Show what a catalog holds, and optionally how well it finds it."),
    "evaluate": ("evaluate_command", "Measure search quality on judged queries."),
    "ledger": ("ledger_command", "List what became of every row of every feed."),
    "log": ("store_commands", "List the commits, newest first."),
    "update": ("store_commands", "Change the fields of one item, or change the fields themselves."),
    "delete": ("store_commands", "Delete items by key or by filter."),
    "purge": ("store_commands", "Remove old history for good and give its space back to the disk."),
    "optimize": ("maintenance_commands", "Fold recent commits into a new generation, for faster search."),
    "reencode": ("reencode_command", "Change the model of a catalog while search goes on."),
    "verify": ("maintenance_commands", "Check everything in a catalog and change nothing."),
    "repair": ("maintenance_commands", "Rebuild derived files and set aside what cannot be trusted."),
    "backup": ("backup_commands", "Back up a catalog while it is in use."),
    "backups": ("backup_commands", "List the snapshots of a backup."),
    "restore": ("backup_commands", "Create a catalog from a backup, checking every byte of it."),
    "export": ("exchange_commands", "Write a catalog, or the items that match a filter, to a Parquet file."),
    "import": ("exchange_commands", "Add the items of a Parquet file to a catalog, or make a catalog of them."),
    "models": ("models_commands", "List, fetch, verify and locate models."),
    "bench": ("bench.commands", "Run benchmarks; every figure is a ratio of things timed in one run."),
}
"""Module and summary of each command, in the order of the help screen.

A module is imported only when its command runs, so the help screen costs no more than Typer itself.
"""

_GROUPS = frozenset({"models", "bench"})


class _Modules(Mapping[str, Any]):
    """The commands by name; looking one up imports its module."""

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401  # Typer keeps the types of its commands to itself
        module, _ = COMMANDS[name]
        with collector_paused():
            group = get_group(importlib.import_module(f"{_HERE}.{module}").app)
        return group if name in _GROUPS else group.commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Commands(TyperGroup):
    """The top-level group; it prints errors raised on purpose as sentences and exits with their code."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401  # Typer's own arguments
        super().__init__(**settings)
        self.commands = _Modules()  # type: ignore[assignment]  # Typer never adds to it after this point

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401  # Typer's own signature
        """Write the help screen from `COMMANDS`, without importing any command."""
        summaries = [TyperCommand(name, help=summary) for name, (_, summary) in COMMANDS.items()]
        TyperGroup(name=self.name, commands=summaries, help=self.help, params=self.params).format_help(ctx, formatter)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  # Typer's own signature
        """Run a command."""
        try:
            return super().invoke(ctx)
        except LookalikeError as error:
            err.print(f"[bold red]Error:[/] {plain(error.message)}", highlight=False)
            if error.remedy:
                err.print(plain(error.remedy), highlight=False)
            raise typer.Exit(exit_code_of(error)) from error
        except KeyboardInterrupt:
            err.print("Stopped.")
            raise typer.Exit(1) from None


app = typer.Typer(cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def _lookalike() -> None:
    """Find products by picture and by words."""


def main() -> None:
    """Run the command line."""
    configure()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[_Printed()], force=True)
    app()


class _Printed(logging.Handler):
    """Prints warnings and errors of the library to stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        err.print(f"[yellow]{record.levelname.capitalize()}:[/] {plain(self.format(record))}", highlight=False)

"""A dry run on the screen, or as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, time
from typing import Final

import typer
from rich.table import Column, Table

from lookalike.data.counted import counted
from lookalike.data.errors import SyncRefused
from lookalike.data.item import Value
from lookalike.retrieval.ingest.dry_run import Action, Change, DryRun
from lookalike.ui.cli.json_output import print_json_list
from lookalike.ui.cli.progress_bar import progress
from lookalike.ui.cli.terminal import err, out, plain
from lookalike.ui.errors import exit_code_of

__all__ = ["show_plans"]

_EXAMPLES: Final = 5
_MAX_VALUE_LENGTH: Final = 40

_WORDS: Final = {
    Action.ADD: "to add",
    Action.UPDATE: "to update",
    Action.REPRICE: "to re-price",
    Action.RENAME: "to rename",
    Action.DELETE: "to delete",
    Action.REJECT: "rejected",
    Action.LEAVE: "unchanged",
}


def show_plans(plans: Mapping[str, DryRun], *, json: bool) -> None:
    """Run the dry runs `plans`, by feed name; print counts and a few changes of each kind, or all changes as JSON.

    Raises:
        Exit: a removal would be refused; the exit code is the one of a real run.
    """
    if json:
        changes = (
            {"feed": name, **_change_json(change)}
            for name, plan in plans.items()
            for change in plan
            if change.action is not Action.LEAVE
        )
        print_json_list("changes", changes, lambda: _facts(list(plans.values())))
    else:
        for name, plan in plans.items():
            _show(plan, f"{plain(name)}: " if len(plans) > 1 else "")
    for plan in plans.values():
        if plan.refused:
            raise typer.Exit(exit_code_of(SyncRefused(plan.refused)))


def _show(plan: DryRun, before: str) -> None:
    examples: dict[Action, list[Change]] = {action: [] for action in Action}
    with progress() as bar:
        task = bar.add_task("Comparing", total=plan.count, rate="")
        for change in plan:
            if len(examples[change.action]) < _EXAMPLES:
                examples[change.action].append(change)
            bar.update(task, completed=plan.rows)
    counts = ", ".join(f"[bold]{plan.counts[action]:,}[/] {_WORDS[action]}" for action in Action)
    out.print(f"{before}Nothing was written. {counts}.", highlight=False)
    table = Table("what", Column("row", justify="right"), Column("key", overflow="fold"), Column("", overflow="fold"))
    for action, changes in examples.items():
        for change in changes if action is not Action.LEAVE else ():
            row = "" if change.row is None else str(change.row)
            table.add_row(_WORDS[action], row, plain(change.key or ""), plain("; ".join(_details(change))))
        if action is not Action.LEAVE and plan.counts[action] > len(changes):
            table.add_row("", "", f"... and {plan.counts[action] - len(changes):,} more", "")
    if table.row_count:
        out.print(table)
    if plan.missing and not plan.refused:
        out.print(f"No longer in this feed, and kept: {counted(plan.missing, 'item')}.", highlight=False)
    if plan.unfetched:
        out.print(f"On the web, and not compared: {counted(plan.unfetched, 'picture')}.", highlight=False)
    if plan.refused:
        err.print(f"[bold red]It would be refused:[/] {plain(plan.refused)}", highlight=False)


def _details(change: Change) -> Iterator[str]:
    for name, (old, new) in change.fields.items():
        yield f"{name}: {_shown(old)} -> {_shown(new)}"
    if change.pictures is not None:
        yield f"pictures {change.pictures}"
    if change.old_key is not None:
        yield f"was {change.old_key}"
    if change.reason is not None:
        yield f"{change.source}: {change.reason}" if change.source else change.reason


def _shown(value: Value) -> str:
    match value:
        case None:
            text = "nothing"
        case datetime():
            text = str(value.date()) if value.time() == time() else f"{value.replace(tzinfo=None)} UTC"
        case list():
            text = ", ".join(map(str, value))
        case _:
            text = str(value)
    return text if len(text) <= _MAX_VALUE_LENGTH else f"{text[: _MAX_VALUE_LENGTH - 3]}..."


def _facts(plans: Sequence[DryRun]) -> dict[str, object]:
    pictures: Counter[str] = sum((plan.pictures for plan in plans), Counter())
    return {
        **{action.value: sum(plan.counts[action] for plan in plans) for action in Action},
        "missing": sum(plan.missing for plan in plans),
        "pictures": dict(pictures),
        "unfetched": sum(plan.unfetched for plan in plans),
        "refused": next((plan.refused for plan in plans if plan.refused), None),
    }


def _change_json(change: Change) -> dict[str, object]:
    facts: dict[str, object] = {"action": change.action, "key": change.key, "row": change.row}
    if change.fields:
        facts["fields"] = {name: {"old": old, "new": new} for name, (old, new) in change.fields.items()}
    others = {"pictures": change.pictures, "old_key": change.old_key, "reason": change.reason, "image": change.source}
    return facts | {name: value for name, value in others.items() if value is not None}

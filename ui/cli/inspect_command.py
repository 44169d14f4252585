"""The command that shows what a feed would bring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Column, Table

from lookalike.data.counted import counted
from lookalike.data.feeds.feed import FeedOptions, open_feed
from lookalike.data.feeds.inspection import Finding, Inspection, inspect_feed
from lookalike.data.field_type import FieldType
from lookalike.data.item import Value
from lookalike.ui.cli.json_output import print_json
from lookalike.ui.cli.options import (
    BaseOption,
    ImageColumnOption,
    JsonOption,
    KeyColumnOption,
    TitleColumnOption,
    VariantsOption,
)
from lookalike.ui.cli.terminal import err, out, plain

__all__ = ["app"]

app = typer.Typer()

_SHOWN_FINDINGS: Final = 8
_SHOWN_CHARACTERS: Final = 40


@app.command()
def inspect(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A feed, a folder or an archive.")],
    key: KeyColumnOption = None,
    image: ImageColumnOption = None,
    title: TitleColumnOption = None,
    variants: VariantsOption = None,
    base: BaseOption = None,
    json: JsonOption = False,
) -> None:
    """Show how a feed is read and what it would bring, and index nothing.

    No picture is read and no address is fetched. `index --dry-run` also compares the feed with a catalog.
    """
    with err.status("Reading"):
        options = FeedOptions(key=key, image=image, title=title, variants=variants, base=base)
        found = inspect_feed(open_feed(source, **options))
    if json:
        print_json(asdict(found) | {"first": [_item_json(found, place) for place in range(len(found.first))]})
        return
    out.print(
        f"[bold]{plain(found.feed)}[/]: {counted(found.items, 'item')}, {counted(found.pictures, 'picture')}, "
        f"{found.rejected:,} rejected",
        highlight=False,
    )
    if found.notes:
        out.print(plain(" ".join(found.notes)), highlight=False)
    out.print(_columns(found))
    for item in found.first:
        pictures = ", ".join(image.source for image in item.images) or "no picture"
        out.print(f"[bold]{plain(item.key)}[/]  {plain(item.title or 'no title')}  {plain(pictures)}", highlight=False)
    _show("rejected", found.rejects)
    _show("left out of their rows", found.warnings)


def _columns(found: Inspection) -> Table:
    name, kind, examples = (Column(header, overflow="fold") for header in ("column", "taken for", "examples"))
    numbers = [Column(header, justify="right", no_wrap=True) for header in ("filled", "values")]
    table = Table(name, kind, *numbers, examples)
    for one in found.columns:
        values = "many" if one.values is None else f"{one.values:,}"
        shown = ", ".join(_shown(value) for value in one.examples)
        table.add_row(plain(one.name), plain(_in_words(one.taken_for)), f"{one.filled:.0%}", values, plain(shown))
    return table


def _show(what: str, findings: Sequence[Finding]) -> None:
    for one in findings[:_SHOWN_FINDINGS]:
        out.print(f"{one.count:,} {what}, the first in row {one.row}: {plain(one.reason)}", highlight=False)
    if len(findings) > _SHOWN_FINDINGS:
        out.print(f"... and {counted(len(findings) - _SHOWN_FINDINGS, 'other kind')}", highlight=False)


def _in_words(taken_for: str) -> str:
    """Return what a column is taken for with the type in words: "numbers (EUR)" for "float (EUR)"."""
    type_, _, detail = taken_for.partition(" ")
    return f"{FieldType(type_).words} {detail}".strip() if type_ in list(FieldType) else taken_for


def _shown(value: Value) -> str:
    if isinstance(value, datetime):
        text = f"{value:%Y-%m-%d %H:%M}".removesuffix(" 00:00")
    elif isinstance(value, list):
        text = "|".join(map(str, value))
    else:
        text = str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."


def _item_json(found: Inspection, place: int) -> dict[str, object]:
    item = found.first[place]
    return {
        "row": item.row,
        "key": item.key,
        "title": item.title,
        "images": [image.source for image in item.images],
        "fields": dict(item.fields),
    }

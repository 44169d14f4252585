"""Commands on stored items: change values and fields, delete items, read the log, purge the history."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from lookalike import Catalog
from lookalike.data.counted import counted
from lookalike.data.errors import FieldTypeError, MisfitsRefused, UsageError
from lookalike.data.field_type import FieldType
from lookalike.data.item import Value
from lookalike.data.values.column_guess import parse_cell
from lookalike.ui.cli.json_output import print_json
from lookalike.ui.cli.options import CatalogArgument, JsonOption
from lookalike.ui.cli.terminal import out, plain

__all__ = ["app"]

app = typer.Typer()


@app.command()
def update(
    catalog: CatalogArgument,
    key: Annotated[str | None, typer.Argument(help="Item to change; none to change the fields themselves.")] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Set a field, or the title, to a value.")
    ] = None,
    unset: Annotated[list[str] | None, typer.Option(metavar="FIELD", help="Clear a field.")] = None,
    retype: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=TYPE", help=f"Change a field's type: {', '.join(FieldType)}."),
    ] = None,
    rename: Annotated[list[str] | None, typer.Option(metavar="OLD=NEW", help="Rename a field.")] = None,
    drop: Annotated[list[str] | None, typer.Option(metavar="FIELD", help="Remove a field from all items.")] = None,
    null_misfits: Annotated[
        bool, typer.Option("--null-misfits", help="With --retype, set values to null if they do not fit the new type.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Change the fields of one item, or change the fields themselves.

    Fields that are not named keep their values, and pictures are not read again. Changes of type, name and existence
    are made together or not at all; earlier states keep their fields.
    """
    if null_misfits and not retype:
        raise UsageError("--null-misfits goes with --retype.", remedy="Add --retype, or leave out --null-misfits.")
    if retype or rename or drop:
        if key is not None or assignments or unset:
            raise UsageError(
                "One call changes the fields of all items, or the values of one item, not both at once.",
                remedy="Make two calls of it.",
            )
        _change_fields(catalog, retype or [], rename or [], drop or [], null_misfits, json)
        return
    if key is None:
        raise UsageError(
            "There is nothing to change.",
            remedy="Say which item to change, or change a field with --retype, --rename or --drop.",
        )
    with Catalog.open(catalog) as opened:
        kinds = {"title": FieldType.STRING, **opened.schema}
        values: dict[str, Value] = dict.fromkeys(unset or ())
        for assignment in assignments or ():
            name, text = _split(assignment, "FIELD=VALUE")
            values[name] = _value(name, text, kinds)
        if not values:
            raise UsageError(
                "There is nothing to change.", remedy="Say what to change, with --set FIELD=VALUE or --unset FIELD."
            )
        for name in values:
            _kind_of(name, kinds)
        titles = [title if isinstance(title := values.pop("title"), str) else None] if "title" in values else None
        seq = opened.update([key], {name: [value] for name, value in values.items()}, titles=titles)
    if json:
        print_json({"commit": seq})
    else:
        out.print(f"Updated {plain(key)} (commit {seq}).", highlight=False)


@app.command()
def log(
    catalog: CatalogArgument,
    limit: Annotated[int, typer.Option(help="Number of commits.", min=1)] = 20,
    json: JsonOption = False,
) -> None:
    """List the commits, newest first.

    Each has its time, what was done, and how many items were added, updated and deleted.
    """
    with Catalog.open(catalog) as opened:
        commits = opened.log(limit)
    if json:
        facts = [
            {
                "seq": one.seq,
                "time": one.when.isoformat(),
                "summary": one.summary,
                "added": one.added,
                "updated": one.updated,
                "deleted": one.deleted,
            }
            for one in commits
        ]
        print_json({"commits": facts})
        return
    if not commits:
        out.print("Nothing has been written yet.")
        return
    numbers = [Column(name, justify="right") for name in ("added", "updated", "deleted")]
    table = Table(
        Column("commit", justify="right"), Column("time (UTC)", no_wrap=True), Column("what", overflow="fold"), *numbers
    )
    for one in commits:
        counts = (f"{count:,}" if count else "" for count in (one.added, one.updated, one.deleted))
        moment = one.when.strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(str(one.seq), moment, plain(one.summary), *counts)
    out.print(table)


@app.command()
def purge(
    catalog: CatalogArgument,
    older_than: Annotated[
        str, typer.Option(metavar="WHEN", help="Age such as 30d (m, h, d or w), commit number, or time.")
    ],
    json: JsonOption = False,
) -> None:
    """Remove old history for good and give its space back to the disk."""
    with Catalog.open(catalog) as opened:
        report = opened.purge(older_than)
    if json:
        print_json(
            {
                "oldest_commit": report.oldest_commit,
                "rows": report.rows,
                "thumbnails": report.thumbnails,
                "bytes_reclaimed": report.bytes_reclaimed,
            }
        )
        return
    out.print(
        f"Removed {counted(report.rows, 'row')} of history; {report.bytes_reclaimed / 1e6:,.1f} MB given back. "
        f"The oldest readable state is now commit {report.oldest_commit}.",
        highlight=False,
    )
    if report.thumbnails is None:
        out.print("Thumbnails were kept because pictures are being indexed; the next purge removes them.")


@app.command()
def delete(
    catalog: CatalogArgument,
    keys: Annotated[list[str] | None, typer.Argument(metavar="KEY...", help="Keys of the items to delete.")] = None,
    filter: Annotated[
        str | None, typer.Option(metavar="EXPR", help="Delete items that satisfy this condition.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Delete items by key or by filter."""
    with Catalog.open(catalog) as opened:
        count = opened.delete(keys=keys or None, filter=filter)
    if json:
        print_json({"deleted": count})
    else:
        out.print(f"Deleted {counted(count, 'item')}.")


def _change_fields(
    catalog: Path, retype: list[str], rename: list[str], drop: list[str], null_misfits: bool, json: bool
) -> None:
    with Catalog.open(catalog) as opened:
        try:
            changed = opened.change_fields(
                retype=_by_field(retype, "FIELD=TYPE"),
                rename=_by_field(rename, "OLD=NEW"),
                drop=drop,
                misfits="null" if null_misfits else "refuse",
            )
        except MisfitsRefused as error:
            raise UsageError(
                error.message, remedy="Change them first, or set them to null with --null-misfits."
            ) from None
    if json:
        print_json({"commit": changed.commit, "items": changed.items, "nulled": changed.nulled})
        return
    nulled = f" Set to null, as it did not fit the type: {counted(changed.nulled, 'value')}." if changed.nulled else ""
    out.print(
        f"Changed the fields of {counted(changed.items, 'item')} (commit {changed.commit}).{nulled} "
        "In a large catalog, run lookalike optimize next.",
        highlight=False,
    )


def _by_field(assignments: list[str], form: str) -> dict[str, str]:
    """Split assignments of the form `form` into a mapping.

    Raises:
        UsageError: an assignment does not have this form, or a field is assigned twice.
    """
    found: dict[str, str] = {}
    for name, text in (_split(one, form) for one in assignments):
        if name in found:
            raise UsageError(
                f"The field {name!r} is given twice, as {name}={found[name]} and {name}={text}.",
                remedy="Keep one of the two.",
            )
        found[name] = text
    return found


def _split(assignment: str, form: str) -> tuple[str, str]:
    name, equals, text = assignment.partition("=")
    if not equals:
        raise UsageError(f"{assignment!r} is no assignment.", remedy=f"Write {form}.")
    return name, text


def _kind_of(name: str, kinds: dict[str, FieldType]) -> FieldType:
    if name not in kinds:
        raise UsageError(f"There is no field {name!r}; the fields are {', '.join(kinds)}.")
    return kinds[name]


def _value(name: str, text: str, kinds: dict[str, FieldType]) -> Value:
    kind = _kind_of(name, kinds)
    try:
        return parse_cell(kind, text)
    except ValueError:
        raise FieldTypeError(
            f"The field {name!r} holds {kind.words}; {text!r} cannot be read as that.",
            field=name,
            expected=kind.value,
            found="str",
        ) from None

"""Commands on models: list them, and fetch, verify and locate their weights."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Column, Table

from lookalike.data.errors import MissingDependency, WeightsUnavailable
from lookalike.models.extras import require
from lookalike.models.registry.checkpoint import find_checkpoint
from lookalike.models.registry.names import Family, parse_name
from lookalike.models.registry.open_clip_table import published_weights
from lookalike.models.registry.published import PUBLISHED
from lookalike.models.registry.spec import KNOWN_MODELS
from lookalike.models.weights.packaged import find_weights, read_weights
from lookalike.ui.cli.json_output import print_json
from lookalike.ui.cli.options import JsonOption
from lookalike.ui.cli.terminal import err, out, plain

__all__ = ["app"]

_Row = tuple[str, str, str, int | None, str, float | None, str, bool]

app = typer.Typer(no_args_is_help=True, help="List, fetch, verify and locate models.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of a model, as for lookalike index --model.")]


@app.command(name="list")
def list_models(
    everything: Annotated[
        bool, typer.Option("--all", help="Also list every architecture and tag that open_clip has weights for.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """List the models that have a short name, with size, licence, and whether their weights are here."""
    compact = KNOWN_MODELS["compact"]
    rows: list[_Row] = [("compact", compact.summary, "", None, "Apache-2.0", None, "", True)]
    rows += [
        (
            name,
            one.summary,
            one.full_name,
            one.megabytes,
            one.licence,
            one.zero_shot,
            one.source,
            _is_here(name),
        )
        for name, one in PUBLISHED.items()
    ]
    others = _all_of_open_clip() if everything else []
    if json:
        names = ("name", "summary", "full_name", "megabytes", "licence", "zero_shot", "source", "on_disk")
        print_json({"models": [dict(zip(names, row, strict=True)) for row in rows], "open_clip": others})
        return
    figures = [Column(name, justify="right", no_wrap=True) for name in ("MB", "zero-shot %")]
    table = Table(Column("name", no_wrap=True), "what it is", *figures, "licence", "here")
    for name, summary, _, megabytes, licence, zero_shot, _, here in rows:
        size, score = ("" if value is None else f"{value:,}" for value in (megabytes, zero_shot))
        table.add_row(name, summary, size, score, licence, "yes" if here else "no")
    out.print(table)
    out.print(
        "Zero-shot: published accuracy on ImageNet, not measured here. Others: open_clip:ARCHITECTURE/TAG (--all lists "
        "them), hf-hub:ORGANISATION/NAME, timm:NAME, torchvision:NAME, or the folder of a model.",
        style="dim",
        highlight=False,
    )
    for other in others:
        out.print(other, highlight=False)


@app.command()
def fetch(name: NameArgument, json: JsonOption = False) -> None:
    """Download the weights of a model once.

    No other command reaches the hub. HF_ENDPOINT names a mirror of it.
    """
    from lookalike.models.weights import download  # huggingface_hub takes a fifth of a second

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        tasks = {}

        def show(file: str, done: int, total: int | None) -> None:
            if file not in tasks:
                tasks[file] = bar.add_task(file, total=total)
            bar.update(tasks[file], completed=done, total=total)

        checkpoint = download.fetch(parse_name(name), show)
    if json:
        print_json({"name": str(checkpoint.name), "path": str(checkpoint.weights)})
    else:
        out.print(f"{plain(str(checkpoint.name))} is here: {plain(str(checkpoint.weights))}", highlight=False)


@app.command()
def verify(name: NameArgument, json: JsonOption = False) -> None:
    """Read the weights of a model and compare them with their published hashes."""
    parsed = parse_name(name)
    if parsed.family is Family.COMPACT:
        for file in KNOWN_MODELS["compact"].files.values():
            read_weights(file, trust_memory=False)
        checked = []
    else:
        from lookalike.models.weights import download

        with err.status("Reading the weights"):
            checked = download.verify(find_checkpoint(parsed))
    if json:
        facts = [{"path": str(one.path), "sha256": one.sha256, "as_expected": one.as_expected} for one in checked]
        print_json({"name": str(parsed), "files": facts})
    else:
        verdicts = {True: "as published", False: "NOT as published", None: "nothing to compare with"}
        for one in checked:
            out.print(f"{plain(str(one.path))}: SHA-256 {one.sha256}, {verdicts[one.as_expected]}", highlight=False)
        if not checked:
            out.print("The weights of compact are the ones expected.")
    if any(one.as_expected is False for one in checked):
        raise WeightsUnavailable(
            f"The weights of {parsed} are damaged.", remedy=f"Delete the file and run: lookalike models fetch {name}"
        )


@app.command()
def path(name: NameArgument, json: JsonOption = False) -> None:
    """Print where the weights of a model are."""
    parsed = parse_name(name)
    if parsed.family is Family.COMPACT:
        files = [find_weights(file) for file in KNOWN_MODELS["compact"].files.values()]
    else:
        checkpoint = find_checkpoint(parsed)
        places = (checkpoint.weights, checkpoint.config, checkpoint.tokenizer, checkpoint.text_config)
        files = list(dict.fromkeys(place for place in places if place is not None))
    if json:
        print_json({"name": str(parsed), "paths": [str(file) for file in files]})
        return
    for file in files:
        out.print(plain(str(file)), highlight=False, soft_wrap=True)


def _is_here(name: str) -> bool:
    try:
        find_checkpoint(parse_name(name))
    except (WeightsUnavailable, MissingDependency):
        return False
    return True


def _all_of_open_clip() -> list[str]:
    require("open_clip", extra="clip")
    return [f"open_clip:{architecture}/{tag}" for architecture, tag in published_weights()]

"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookalike.data.feeds.products import Variants
from lookalike.ui.settings import SETTINGS

__all__ = [
    "AllowPrivateOption",
    "ApiKeyOption",
    "BaseOption",
    "CatalogArgument",
    "HostOption",
    "ImageColumnOption",
    "JsonOption",
    "KeyColumnOption",
    "PortOption",
    "RoundsOption",
    "TitleColumnOption",
    "VariantsOption",
]

CatalogArgument = Annotated[Path, typer.Argument(metavar="CATALOG", help="Folder of the catalog.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

KeyColumnOption = Annotated[str | None, typer.Option(help="Column with the key.", show_default="found by name")]
ImageColumnOption = Annotated[str | None, typer.Option(help="Column with the pictures.", show_default="found by name")]
TitleColumnOption = Annotated[str | None, typer.Option(help="Column with the title.", show_default="found by name")]
VariantsOption = Annotated[
    Variants | None,
    typer.Option(
        help="In an export of a shop system: one item for all variants of a product, or one item each, with the key of "
        "the product as group.",
        show_default="join; items for Google Merchant",
    ),
]
BaseOption = Annotated[
    str | None,
    typer.Option(
        metavar="PLACE",
        help="Folder or web address that the names of pictures are relative to.",
        show_default="the folder of the feed",
    ),
]
AllowPrivateOption = Annotated[
    bool, typer.Option("--allow-private", help="Also fetch pictures from addresses of this machine and its network.")
]
RoundsOption = Annotated[int, typer.Option(help="Times each side runs, in turn; medians are shown.", min=1)]

HostOption = Annotated[str, typer.Option(envvar=SETTINGS["host"].variable, help=SETTINGS["host"].help)]
PortOption = Annotated[
    int, typer.Option(envvar=SETTINGS["port"].variable, help=SETTINGS["port"].help, min=0, max=65_535)
]
ApiKeyOption = Annotated[
    str | None,
    typer.Option(envvar=SETTINGS["api_key"].variable, help=SETTINGS["api_key"].help, show_default=False),
]

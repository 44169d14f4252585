"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["CatalogArgument", "JsonOption"]

CatalogArgument = Annotated[Path, typer.Argument(metavar="CATALOG", help="The folder of the catalog.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

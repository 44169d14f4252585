"""Benchmarks: each compares sides in one run and prints ratios, since machines differ and are shared."""

from __future__ import annotations

import typer

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True)

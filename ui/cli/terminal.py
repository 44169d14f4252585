"""The two consoles of the command line, and escaping of text for them."""

from __future__ import annotations

import sys

from rich.console import Console

__all__ = ["err", "out", "plain", "shown_size"]

out = Console()
err = Console(stderr=True)


def plain(text: str) -> str:
    """Escape whatever Rich would read as markup, and replace characters that the terminal cannot print."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding).replace("[", "\\[")


def shown_size(count: float) -> str:
    """Write a number of bytes for people, in decimal units: 12 B, 3.4 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"

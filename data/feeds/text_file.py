"""Files of text as bytes, compressed by gzip or not."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import BinaryIO, cast

__all__ = ["feed_suffix", "open_bytes"]


def open_bytes(path: Path) -> BinaryIO:
    """Open a file for reading; one that ends in `.gz` is decompressed."""
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix.lower() == ".gz" else path.open("rb")


def feed_suffix(path: Path) -> str:
    """Return the suffix that tells the format of a file, in lower case and without `.gz`."""
    return Path(path.stem).suffix.lower() if path.suffix.lower() == ".gz" else path.suffix.lower()

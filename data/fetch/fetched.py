"""Results of fetching."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["FetchCounts", "Fetched"]


@dataclass(frozen=True, slots=True)
class Fetched:
    """A fetched picture: its SHA-256 digest, and its file, or None if the caller did not need one."""

    sha256: bytes
    path: Path | None


@dataclass(frozen=True, slots=True)
class FetchCounts:
    """Number of pictures downloaded, number found unchanged and not sent again, and bytes received."""

    fetched: int = 0
    unchanged: int = 0
    bytes: int = 0

    @property
    def requested(self) -> int:
        """Number of pictures requested and answered."""
        return self.fetched + self.unchanged

"""What comes of fetching."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["FetchCounts", "Fetched"]


@dataclass(frozen=True, slots=True)
class Fetched:
    """A picture of which the bytes are known: by their hash, and in a file unless they were not needed (None)."""

    sha256: bytes
    path: Path | None


@dataclass(frozen=True, slots=True)
class FetchCounts:
    """Pictures that were sent, those that had not changed and were not, and the bytes that came in."""

    fetched: int = 0
    unchanged: int = 0
    bytes: int = 0

    @property
    def requested(self) -> int:
        """Pictures asked for and answered."""
        return self.fetched + self.unchanged

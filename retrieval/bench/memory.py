"""How much memory this process has resident, and how much of it is its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lookalike.data.errors import UsageError

__all__ = ["Memory"]

_ROLLUP = Path("/proc/self/smaps_rollup")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes: `anonymous` are the process's own; `mapped` are pages of files, which the system may take back."""

    anonymous: int
    mapped: int

    @property
    def resident(self) -> int:
        """All that is in memory, in bytes."""
        return self.anonymous + self.mapped

    def __sub__(self, other: Memory) -> Memory:
        return Memory(self.anonymous - other.anonymous, self.mapped - other.mapped)

    @classmethod
    def now(cls) -> Memory:
        """Ask the system.

        Raises:
            UsageError: it is not Linux.
        """
        try:
            lines = _ROLLUP.read_text().splitlines()
        except OSError as error:
            raise UsageError("How much memory a process has can be measured on Linux only.") from error
        kilobytes = {line.split()[0]: int(line.split()[1]) for line in lines[1:]}
        anonymous = kilobytes["Anonymous:"] * 1024
        return cls(anonymous, kilobytes["Rss:"] * 1024 - anonymous)

"""The folder of a benchmark, which is temporary or kept for the next run, and the file that describes it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from lookalike.data.errors import UsageError

__all__ = ["KeptFile", "bench_folder"]

_OTHER_FOLDER = "Name another folder with --keep."


@contextmanager
def bench_folder(keep: Path | None) -> Iterator[Path]:
    """Yield the folder `keep`, made if it is absent, or a temporary folder that is removed in the end."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.absolute()
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@dataclass(frozen=True, slots=True)
class KeptFile:
    """What a benchmark knows about the builds beside this file; `made` are the options that they were made with."""

    path: Path
    made: Mapping[str, Any]

    def read(self) -> dict[str, Any] | None:
        """Return the kept facts, or None if the folder is empty.

        Raises:
            UsageError: the folder holds builds of other options, or other files.
        """
        folder = self.path.parent
        if self.path.exists():
            kept: dict[str, Any] = orjson.loads(self.path.read_bytes())
            if kept["made"] != self.made:
                raise UsageError(f"{folder} was built with other options.", remedy=_OTHER_FOLDER)
            return kept
        if any(folder.iterdir()):
            raise UsageError(f"{folder} holds files that are no benchmark of this kind.", remedy=_OTHER_FOLDER)
        return None

    def write(self, facts: Mapping[str, Any]) -> None:
        """Write the facts, and the options with them."""
        self.path.write_bytes(orjson.dumps({**facts, "made": self.made}))

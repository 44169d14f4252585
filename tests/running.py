"""Index runs to their end, the command line, and disks that are full, all in this process."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Unpack

from typer.testing import CliRunner

from lookalike import Catalog
from lookalike.data.feeds.feed import open_feed
from lookalike.retrieval.ingest.index_run import IndexReport, IndexRun, RunOptions
from lookalike.ui.cli.main import app


def run(catalog: Catalog, source: Path, **options: Unpack[RunOptions]) -> IndexReport:
    *_, report = IndexRun(catalog._core, open_feed(source, types=catalog._core.records.schema()), **options)
    return report


def call(*arguments: object, code: int = 0) -> str:
    """Return the output of a command, including its errors if it is expected to fail with another code than 0."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.output


def call_json(*arguments: object) -> Any:  # noqa: ANN401  # JSON
    return json.loads(call(*arguments, "--json"))


@contextmanager
def no_file_grows_beyond(size: int) -> Iterator[None]:
    """Limit the files that this process writes to `size` bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

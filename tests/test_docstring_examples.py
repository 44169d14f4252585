from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    path for layer in ("data", "models") for path in (ROOT / layer).rglob("*.py") if ">>> " in path.read_text()
)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_examples_of_a_module_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = ".".join(("lookalike", *path.relative_to(ROOT).with_suffix("").parts))
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted and not result.failed


def test_every_public_entry_point_has_an_example() -> None:
    entry_points = {"feed.py", "load.py", "fetcher.py", "image_decoder.py", "item.py"}
    assert entry_points <= {path.name for path in MODULES}

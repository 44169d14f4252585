from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from lookalike.models.weights.places import MODELS_VARIABLE
from lookalike.ui.cli.main import app
from lookalike.ui.settings import OTHERS, SETTINGS
from tests.running import call

ROOT = Path(__file__).parent.parent
READ = re.compile(r"""environ(?:\.get\(|\[)\s*["']([A-Z_]+)""")


def test_a_setting_with_an_option_is_that_option_of_every_command_that_has_it() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for row in SETTINGS.values():
        options = [one for command in commands.values() for one in command.params if row.option in one.opts]
        assert bool(options) == bool(row.option)
        for option in options:
            assert (option.envvar, option.help) == (row.variable, row.help)
            assert str(option.default) == row.default or option.default is None


def test_no_variable_is_read_that_the_table_lacks() -> None:
    known = {row.variable for row in SETTINGS.values()} | set(OTHERS)
    assert SETTINGS["models"].variable == MODELS_VARIABLE
    for layer in ("data", "models", "retrieval", "ui"):
        for path in (ROOT / layer).rglob("*.py"):
            found = {name for name in READ.findall(path.read_text()) if not name.startswith("GRADIO_")}
            assert found <= known, path


def test_a_variable_sets_what_no_option_sets(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKALIKE_HOST", "0.0.0.0")
    assert "0.0.0.0 can be reached from other machines" in " ".join(call("serve", shop, code=2).split())
    monkeypatch.setenv("LOOKALIKE_PORT", "99999")
    assert "LOOKALIKE_PORT" in call("serve", shop, code=2)
    assert "Cannot listen on a b, port 0" in call(
        "serve", shop, "--host", "a b", "--port", "0", "--api-key", "x", code=2
    )

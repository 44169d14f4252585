from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from lookalike.ui.cli.main import COMMANDS, app

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "faiss", "polars", "numpy", "gradio", "fastapi", "PIL", "pydantic", "lark", "httpcore2", "sqlite3")

TORCH = re.compile(r"^(import|from) torch|lookalike\.models\.(compact|torch_base|encoders)", re.MULTILINE)

HELP = """
import sys
from lookalike.ui.cli.main import main
sys.argv = ["lookalike", "--help"]
try: main()
except SystemExit as end: assert not end.code
print("loaded:", *(name for name in sys.argv[0:0] + HEAVY if name in sys.modules))
"""

STATE = """
import csv, ctypes, os, signal, sys, threading, warnings
def state():
    return {
        "environment": dict(os.environ),
        "warnings": list(warnings.filters),
        "csv": csv.field_size_limit(),
        "recursion": sys.getrecursionlimit(),
        "signals": [signal.getsignal(one) for one in signal.valid_signals()],
        "threads": [one.name for one in threading.enumerate()],
        "directory": os.getcwd(),
    }
"""
IMPORTS = """
import PIL.Image, numpy, orjson, faiss, polars, lark  # what those do is their own
limit = PIL.Image.MAX_IMAGE_PIXELS
before = state()
import importlib
for name in NAMES: importlib.import_module(name)
after = state()
assert PIL.Image.MAX_IMAGE_PIXELS == limit
print(*(name for name in before if before[name] != after[name]))
"""
CONFIGURE = """
for name in [name for name in os.environ if name.startswith("GRADIO")]: del os.environ[name]
before = state()
from lookalike.ui.process import configure
configure()
once = state()
configure()
print(*(name for name in before if before[name] != once[name]), state() == once)
"""


def printed(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def test_the_help_screen_imports_no_heavy_package() -> None:
    assert printed(f"HEAVY = {list(HEAVY)}\n{HELP}") == "loaded:"


def test_the_help_screen_imports_no_command() -> None:
    code = HELP.replace("HEAVY if name", "list(sys.modules) if name.startswith('lookalike.') and name")
    assert set(printed(code).split()[1:]) == {
        "lookalike.data",
        "lookalike.data.errors",
        "lookalike.data.garbage_collection",
        "lookalike.ui",
        "lookalike.ui.cli",
        "lookalike.ui.cli.main",
        "lookalike.ui.cli.terminal",
        "lookalike.ui.errors",
        "lookalike.ui.process",
    }


@pytest.mark.slow
@pytest.mark.parametrize("package", ["data", "models", "retrieval"])
def test_importing_the_library_changes_nothing_of_the_process(package: str) -> None:
    tools = {"sample_tools", "training", "jpeg_xl_child.py", "pdf_child.py", "svg_child.py"}
    names = [
        ".".join(("lookalike", *path.relative_to(ROOT).with_suffix("").parts))
        for path in sorted((ROOT / package).rglob("*.py"))
        if not tools & set(path.parts) and not TORCH.search(path.read_text())  # torch changes the filters of warnings
    ]
    assert printed(f"NAMES = {[name.removesuffix('.__init__') for name in names]}\n{STATE}{IMPORTS}") == ""


def test_configuring_changes_the_same_things_however_often() -> None:
    assert printed(STATE + CONFIGURE) == "environment warnings True"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_summary_of_the_help_screen_begins_the_help_of_its_command(name: str) -> None:
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    assert command.help.split("\n\n")[0].replace("\n", " ") == COMMANDS[name][1]


def test_a_module_has_no_command_that_the_help_screen_lacks() -> None:
    for module in {module for module, _ in COMMANDS.values()} - {"models_commands", "bench.commands"}:
        group = typer.main.get_group(importlib.import_module(f"lookalike.ui.cli.{module}").app)
        assert set(group.commands) == {name for name, (home, _) in COMMANDS.items() if home == module}

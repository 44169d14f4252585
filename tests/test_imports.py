from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("data", "models", "retrieval", "ui")
MODULES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py") if "sample" not in path.parts)
HOME = {
    "torch": ("models", "retrieval/search/gpu_vectors.py", "retrieval/search/gpu_lists.py"),
    "torchvision": ("models",),
    "faiss": ("retrieval/vector_index",),
    "sqlite3": (
        "retrieval/store/connection.py",
        "retrieval/store/database.py",
        "retrieval/store/database_file.py",
        "retrieval/maintenance/salvage.py",
    ),
    "httpcore2": ("data/fetch",),
    "idna": ("data/fetch",),
    "gradio": ("ui",),
    "fastapi": ("ui",),
    "typer": ("ui",),
    "rich": ("ui",),
}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            names.add(node.module or "")
    return names


def test_imports_point_left_and_heavy_packages_stay_at_home() -> None:
    wrong = []
    for path in MODULES:
        relative = str(path.relative_to(ROOT))
        layer = LAYERS.index(path.relative_to(ROOT).parts[0])
        for name in imported(path):
            ours, _, rest = name.partition(".")
            if ours == "lookalike" and LAYERS.index(rest.split(".")[0]) > layer:
                wrong.append(f"{relative} imports {name}, which lies to its right")
            homes = HOME.get(ours)
            if homes is not None and not any(relative.startswith(home) for home in homes):
                wrong.append(f"{relative} imports {name}")
    assert len(MODULES) > 100
    assert wrong == []


def test_a_module_is_of_reading_length_and_has_a_docstring() -> None:
    wrong = []
    for path in MODULES:
        text = path.read_text()
        if len(text.splitlines()) > 400 or not ast.get_docstring(ast.parse(text)):
            wrong.append(str(path.relative_to(ROOT)))
    assert wrong == []


@pytest.mark.parametrize(
    "package", ["lookalike", "lookalike.models", "lookalike.retrieval", "lookalike.retrieval.filters"]
)
def test_a_packages_list_of_names_is_sorted_and_true(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__all__ == sorted(module.__all__, key=lambda name: (name.islower(), name))
    assert all(hasattr(module, name) for name in module.__all__)


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("lookalike.data.feeds.feed", ("numpy.random._pickle", "torch", "faiss", "gradio", "fastapi", "typer")[1:]),
        (
            "lookalike",
            ("numpy", "torch", "faiss", "polars", "PIL"),
        ),
        ("lookalike.models", ("torch", "transformers", "sentence_transformers", "faiss")),
        ("lookalike.retrieval", ("torch", "transformers", "gradio", "fastapi", "typer", "rich", "pandas")),
        ("lookalike.ui.cli.main", ("torch", "gradio", "fastapi", "pandas", "httpcore2")),
    ],
)
def test_importing_loads_nothing_heavy(module: str, absent: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(*[name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_every_package_and_its_files_are_listed_for_installation() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in ROOT.glob("*/**/__init__.py")}
    tools = {"data.sample_tools", "models.training"}
    assert set(listed) == {"lookalike"} | {
        f"lookalike.{name}" for name in found - tools if name.split(".")[0] in LAYERS
    }

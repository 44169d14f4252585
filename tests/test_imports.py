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


def relative_to_root(path: Path) -> str:
    return str(path.relative_to(ROOT))


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
            public = LAYERS.index("retrieval")  # of what the package itself exports
            part = rest.split(".")[0]
            if ours == "lookalike" and (LAYERS.index(part) if part else public) > layer:
                wrong.append(f"{relative} imports {name}, which lies to its right")
            homes = HOME.get(ours)
            if homes is not None and not any(relative.startswith(home) for home in homes):
                wrong.append(f"{relative} imports {name}")
    assert len(MODULES) > 100
    assert wrong == []


ROOMS = (
    "progress",
    "vector_index",
    "schema",
    "filters",
    "arguments",
    "vector_blobs",
    "stored_rows",
    "query",
    "results",
    "files",
    "spaces",
    "input_checks",
    "store",
    "item_writes",
    "generations",
    "search",
    "catalog_info",
    "new_catalog",
    "core",
    "evaluation",
    "ingest",
    "reencode",
    "maintenance",
    "catalog",
    "bench",
)
"""The rooms of `retrieval`, folders and single modules; one may only import those before it."""


def test_rooms_of_retrieval_import_only_rooms_below_them() -> None:
    folder = ROOT / "retrieval"
    found = {path.relative_to(folder).parts[0].removesuffix(".py") for path in folder.rglob("*.py")}
    assert found - {"__init__"} == set(ROOMS)
    wrong = []
    for path in sorted(folder.rglob("*.py")):
        if path == folder / "__init__.py":
            continue
        room = ROOMS.index(path.relative_to(folder).parts[0].removesuffix(".py"))
        for name in imported(path):
            parts = name.split(".")
            if parts[:2] == ["lookalike", "retrieval"] and len(parts) > 2 and ROOMS.index(parts[2]) > room:
                wrong.append(f"{relative_to_root(path)} imports {name}, which lies above it")
    assert wrong == []


LONG = {"retrieval/catalog.py"}
"""The public face, whose docstrings are the reference of the Python API."""


def test_a_module_is_of_reading_length_and_has_a_docstring() -> None:
    wrong = []
    for path in MODULES:
        text = path.read_text()
        is_long = len(text.splitlines()) > 400 and relative_to_root(path) not in LONG
        if is_long or not ast.get_docstring(ast.parse(text)):
            wrong.append(str(path.relative_to(ROOT)))
    assert wrong == []


@pytest.mark.parametrize(
    "package", ["lookalike", "lookalike.models", "lookalike.retrieval.filters", "lookalike.retrieval.vector_index"]
)
def test_a_packages_list_of_names_is_sorted_and_true(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__all__ == sorted(module.__all__, key=lambda name: (not name.isupper(), name.islower(), name))
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

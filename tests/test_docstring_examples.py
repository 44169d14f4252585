from __future__ import annotations

import ast
import doctest
import importlib
import shutil
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

import lookalike
from lookalike import Catalog
from tests.conftest import SAMPLE

ROOT = Path(__file__).parent.parent
WITH_EXAMPLES = sorted(
    path for layer in ("data", "models") for path in (ROOT / layer).rglob("*.py") if ">>> " in path.read_text()
)


def has_inner_examples(path: Path) -> bool:
    """Return whether there is an example outside the public names, whose examples run in a shop."""
    nodes = [node for node in ast.parse(path.read_text()).body if getattr(node, "name", "") not in lookalike.__all__]
    documented = (ast.FunctionDef, ast.ClassDef)
    inner = [one for node in nodes for one in ast.walk(node) if isinstance(one, documented)]
    return any(">>> " in (ast.get_docstring(one) or "") for one in inner)


MODULES = [path for path in WITH_EXAMPLES if has_inner_examples(path)]


def public_examples() -> dict[str, doctest.DocTest]:
    """Return the docstrings of the public names and their members that have an example, by name."""
    found: dict[str, doctest.DocTest] = {}
    for name in lookalike.__all__:
        one = getattr(lookalike, name)
        module = importlib.import_module(one.__module__)
        found |= {test.name: test for test in doctest.DocTestFinder().find(one, name, module) if test.examples}
    return found


PUBLIC = MappingProxyType(public_examples())

KEYS = (
    "acoustic-guitar",
    "baseball",
    "cherry",
    "coffee-mug",
    "cup-of-coffee",
    "hiking-boot",
    "red-apple",
    "tennis-shoes",
)
GONE = "blue-lamp,pictures/blue-lamp.webp,Blue Lamp,furniture,lamp,Gerald G.,blue,39.00,true\n"
QUERIES = """text,relevant
a cup of coffee,coffee-mug|cup-of-coffee
shoes,hiking-boot|tennis-shoes
fruit,cherry|red-apple
"""


@pytest.fixture(scope="session")
def example_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the folder that the examples run in, which `docs/generate.py` describes; it is not to be changed."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "pictures").mkdir()
    head, *rows = SAMPLE.read_text().splitlines(keepends=True)
    rows = [row for row in rows if row.split(",")[0] in KEYS]
    (folder / "products.csv").write_text("".join([head, *rows, GONE]))
    for picture in (name for row in rows for name in row.split(",")[1].split("|")):
        shutil.copy(SAMPLE.parent / picture, folder / picture)
    shutil.copy(SAMPLE.parent / "pictures" / "apple-with-leaf.webp", folder / "photo.webp")
    (folder / "queries.csv").write_text(QUERIES)
    with Catalog.create(folder / "shop", model="compact") as catalog:
        report = catalog.index(folder / "products.csv").finish()
    assert (report.added, report.rejected) == (len(KEYS), 1)
    return folder


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_example_runs_and_has_its_true_output(
    name: str, example_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(example_folder, tmp_path / "here"))
    monkeypatch.chdir(folder)
    example = PUBLIC[name]
    with Catalog.open("shop") as catalog:
        example.globs = {one: getattr(lookalike, one) for one in lookalike.__all__} | {"np": np, "catalog": catalog}
        wrong: list[str] = []
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=wrong.append, clear_globs=False)
        for one in example.globs.values():
            if isinstance(one, Catalog):
                one.close()
    assert wrong == [], "".join(wrong)


def test_no_public_example_is_skipped() -> None:
    assert [name for name, test in PUBLIC.items() for one in test.examples if one.options.get(doctest.SKIP)] == []


def test_every_method_and_property_of_the_public_classes_has_an_example() -> None:
    lacking = []
    for name in lookalike.__all__:
        one = getattr(lookalike, name)
        members = [
            member
            for member, value in vars(one).items()
            if not member.startswith("_")
            and (callable(value) or isinstance(value, classmethod | staticmethod | property))
        ]
        named = [name, *(f"{name}.{member}" for member in members)] if members else []
        lacking += [each for each in named if each not in PUBLIC]
    assert len(PUBLIC) > 90
    assert lacking == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_examples_of_a_module_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = ".".join(("lookalike", *path.relative_to(ROOT).with_suffix("").parts))
    attempted, wrong = 0, list[str]()
    for test in doctest.DocTestFinder().find(importlib.import_module(name)):
        if test.name.removeprefix(f"{name}.").split(".")[0] not in lookalike.__all__:
            attempted += doctest.DocTestRunner().run(test, out=wrong.append).attempted
    assert attempted and wrong == [], "".join(wrong)


def test_every_public_entry_point_has_an_example() -> None:
    entry_points = {"feed.py", "load.py", "fetcher.py", "image_decoder.py", "item.py"}
    assert entry_points <= {path.name for path in WITH_EXAMPLES}

from __future__ import annotations

import functools
import re
from pathlib import Path

import click
import pytest
import typer.main

from lookalike.ui.cli.main import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(?:bash|sh|console)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
LINES = [line.strip() for block in BLOCKS for line in block.replace("\\\n", " ").splitlines()]
CALLS = [call for line in LINES for call in re.findall(r"(?:^|&& )(lookalike .*?)(?=$| &&| #)", line)]


@functools.cache
def commands() -> dict[str, click.Command]:
    group = typer.main.get_command(app)
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        found.update({f"{name} {one}": each for one, each in inner.items()} if inner else {name: command})
    return found


@pytest.mark.parametrize("call", CALLS)
def test_a_call_in_the_readme_names_a_command_and_its_options(call: str) -> None:
    words = re.sub(r"'[^']*'|\"[^\"]*\"", "QUOTED", call).split()[1:]
    name = next(name for name in (" ".join(words[:2]), words[0]) if name in commands())
    options = {
        option for parameter in commands()[name].params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    assert {word.split("=")[0] for word in words if word.startswith("--")} <= options | {"--help"}


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_is_in_the_readme(name: str) -> None:
    assert re.search(rf"lookalike {name}\b", README)


def test_files_that_the_readme_names_are_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
    assert "pip install -c constraints.txt -e . && lookalike demo" in README
    assert re.search(
        r"^pip install -c constraints.txt -e '\.\[test\]' && python -m tests.browser && pytest -n 3 --dist worksteal$",
        README,
        re.MULTILINE,
    )


def test_constraints_are_names_and_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line) for line in lines)

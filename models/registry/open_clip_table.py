"""open_clip's tables of architectures and published weights, read without importing it, which takes five seconds.

An error about missing weights should not take that long. So the weights are read from the source of its
`pretrained.py`, in which every entry is a call with literal arguments, and the architectures from its JSON files.
"""

from __future__ import annotations

import ast
import importlib.util
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from lookalike.data.errors import UsageError

__all__ = ["architecture_config", "published_weights", "repository_of"]

_HUB, _TABLE = "hf_hub", "_PRETRAINED"
_QUICK = "quick_gelu"
_QUICK_SUFFIX = "-quickgelu"


@cache
def published_weights() -> Mapping[tuple[str, str], str]:
    """Return the hub address of each (architecture, tag): "organisation/name/", optionally followed by a file name."""
    tree = ast.parse((_folder() / "pretrained.py").read_text(encoding="utf-8"))
    named: dict[str, ast.expr] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            named[node.targets[0].id] = node.value
    found: dict[tuple[str, str], str] = {}
    for architecture, tags in _items(named.get(_TABLE), named):
        for tag, entry in _items(tags, named):
            facts = {key: value.value for key, value in _items(entry, named) if isinstance(value, ast.Constant)}
            if isinstance(facts.get(_HUB), str):
                found[architecture, tag] = str(facts[_HUB])
                if facts.get(_QUICK):  # open_clip lists these under both names
                    found[architecture + _QUICK_SUFFIX, tag] = str(facts[_HUB])
    return found


def repository_of(architecture: str, tag: str) -> tuple[str, str | None]:
    """Return the hub repository of published weights, and the name of their file if it is not the usual one.

    Raises:
        UsageError: there is no such architecture, or no such weights for it.
    """
    table = published_weights()
    address = table.get((architecture, tag.lower().replace("-", "_")))
    if address is None:
        architecture_config(architecture)
        tags = ", ".join(other for name, other in table if name == architecture)
        known = f"its published weights are {tags}" if tags else "it has none; name a file: open_clip:ARCHITECTURE/FILE"
        raise UsageError(f"There are no weights {tag!r} for {architecture}; {known}.")
    organisation, name, *file = address.split("/")
    return f"{organisation}/{name}", file[0] if file and file[0] else None


def architecture_config(architecture: str) -> dict[str, Any]:
    """Return the configuration of an architecture.

    Raises:
        UsageError: open_clip has no such architecture.
    """
    path = _folder() / "model_configs" / f"{architecture}.json"
    if not path.is_file():
        raise UsageError(
            f"open_clip has no architecture {architecture!r}.", remedy="List them with: lookalike models list --all"
        )
    config: dict[str, Any] = json.loads(path.read_bytes())
    return config


def _folder() -> Path:
    found = importlib.util.find_spec("open_clip")  # finds the package without running it
    assert found is not None and found.submodule_search_locations
    return Path(found.submodule_search_locations[0])


def _items(node: ast.expr | None, named: Mapping[str, ast.expr]) -> Iterator[tuple[str, ast.expr]]:
    """Yield the entries of a dictionary display, of a call's keyword arguments, or of a name bound to either."""
    if isinstance(node, ast.Name):
        node = named.get(node.id)
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant):
                yield str(key.value), value
    elif isinstance(node, ast.Call):
        for keyword in node.keywords:
            if keyword.arg is not None:
                yield keyword.arg, keyword.value

"""Answers of the command line as JSON, for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping

import orjson

__all__ = ["print_json", "print_json_list"]


def print_json(value: object) -> None:
    """Print `value` as indented JSON; dataclasses and NumPy values are included."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode() + "\n")


def print_json_list(name: str, items: Iterable[object], facts: Callable[[], Mapping[str, object]]) -> None:
    """Print a JSON object whose member `name` is a long list, written one item at a time.

    The other members come from `facts`, which is called after the last item.
    """
    write = sys.stdout.write
    separator = f'{{\n  "{name}": ['
    for item in items:
        write(f"{separator}\n    {orjson.dumps(item).decode()}")
        separator = ","
    write("\n  ]" if separator == "," else f"{separator}]")
    for key, value in facts().items():
        write(f",\n  {orjson.dumps(key).decode()}: {orjson.dumps(value).decode()}")
    write("\n}\n")

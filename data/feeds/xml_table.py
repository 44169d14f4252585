"""Rows of XML: the element that repeats is a row, and the elements and attributes in it are its columns.

RSS and Atom feeds of Google Merchant and Facebook are read like any other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from lookalike.data.errors import FeedError
from lookalike.data.feeds.table import Cell, Row, Table
from lookalike.data.feeds.text_file import open_bytes

__all__ = ["open_xml"]

_ROWS = ("item", "entry", "product", "offer", "article", "row", "record")
"""Names of elements that are rows, even if others are repeated more often."""

_ADDRESS_ATTRIBUTES = ("href", "src", "url")
_ENTITY = re.compile(rb"<!(?:ENTITY|ELEMENT|ATTLIST)", re.IGNORECASE)
_PROLOGUE_BYTES = 1 << 16
_MAX_DEPTH = 64


def open_xml(path: Path) -> Table:
    """Open a file of XML.

    Raises:
        FeedError: it is not well-formed, declares entities, or no element in it is repeated.
    """
    with open_bytes(path) as file:
        if _ENTITY.search(file.read(_PROLOGUE_BYTES)):
            raise FeedError(f"{path.name} declares entities of its own, which are not read.")
    paths: Counter[tuple[str, ...]] = Counter()
    has_parts: set[tuple[str, ...]] = set()
    for event, stack, element in _events(path):
        if event == "start":
            paths[stack] += 1
            has_parts.add(stack[:-1])
        else:
            element.clear()
    candidates = [one for one in paths if one in has_parts and len(one) > 1]
    named = [one for one in candidates if one[-1].lower() in _ROWS]
    if not candidates:
        raise FeedError(f"{path.name} has no element that is repeated and could be a row.")
    row_path = max(named or candidates, key=lambda one: (paths[one], -len(one)))
    columns: dict[str, None] = {}
    for row in _rows(path, row_path):
        columns.update(dict.fromkeys(row.values))
    note = f"XML with one row for each <{row_path[-1]}>."
    return Table(tuple(columns), paths[row_path], {}, lambda: _rows(path, row_path), notes=(note,))


def _events(path: Path) -> Iterator[tuple[str, tuple[str, ...], Element]]:
    """Yield the start and the end of each element, with the names of the elements it is in and its own."""
    stack: list[str] = []
    try:
        with open_bytes(path) as file:
            for event, element in ElementTree.iterparse(file, events=("start", "end")):
                if event == "start":
                    stack.append(_local(element.tag))
                    if len(stack) > _MAX_DEPTH:
                        raise FeedError(f"{path.name} is nested more than {_MAX_DEPTH} elements deep.")
                yield event, tuple(stack), element
                if event == "end":
                    stack.pop()
    except ElementTree.ParseError as error:
        raise FeedError(f"{path.name} is not well-formed XML: {error}.") from error


def _rows(path: Path, row_path: tuple[str, ...]) -> Iterator[Row]:
    number = 0
    inside = len(row_path)
    for event, stack, element in _events(path):
        if event == "end" and stack == row_path:
            number += 1
            yield Row(number, _values(element))
        if event == "end" and len(stack) <= inside:
            element.clear()


def _values(row: Element) -> dict[str, Cell]:
    found: dict[str, list[str]] = {}
    for name, value in row.attrib.items():
        found.setdefault(_local(name), []).append(value)
    for part in row:
        _collect(part, _local(part.tag), found)
    return {name: values[0] if len(values) == 1 else list(values) for name, values in found.items()}


def _collect(element: Element, name: str, found: dict[str, list[str]]) -> None:
    """Add the texts of an element and of those in it; a list such as <images><image/></images> has the outer name."""
    text = (element.text or "").strip()
    for attribute in _ADDRESS_ATTRIBUTES:
        if not text and attribute in element.attrib:
            text = element.attrib[attribute].strip()
    if text:
        found.setdefault(name, []).append(text)
    tags = {_local(part.tag) for part in element}
    is_list = len(tags) == 1 and (len(element) > 1 or name.rstrip("s").lower() == next(iter(tags)).lower())
    for part in element:
        _collect(part, name if is_list else f"{name}.{_local(part.tag)}", found)


def _local(name: str) -> str:
    return name.rpartition("}")[2]

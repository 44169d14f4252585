"""The page at /docs: the OpenAPI description as plain HTML that loads nothing from other sites."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lookalike.ui.templates import render

__all__ = ["Body", "Row", "Section", "reference_html", "type_words"]


class Row(NamedTuple):
    """A parameter or a field: its name, its type in a few words, and its description."""

    name: str
    type: str
    description: str


class Body(NamedTuple):
    """The JSON object or form of a request or an answer, or an object inside one; `name` is the name of its schema."""

    name: str
    description: str
    rows: Sequence[Row]


class Section(NamedTuple):
    """One operation of the API.

    `bodies` has the body for each media type that the operation accepts. `answers` has the object that it returns, and
    then the objects inside that one.
    """

    method: str
    path: str
    summary: str
    description: str
    parameters: Sequence[Row]
    bodies: Sequence[tuple[str, Body]]
    example: str
    answers: Sequence[Body]


def reference_html(openapi: Mapping[str, Any], base: str) -> str:
    """Return the page for an OpenAPI description; `base` is the address of the server, for the examples."""
    schemas = openapi.get("components", {}).get("schemas", {})
    return render(
        "rest/reference.html",
        title=openapi["info"]["title"],
        description=openapi["info"].get("description", ""),
        sections=[
            _section(path, method, operation, schemas, base)
            for path, operations in openapi["paths"].items()
            for method, operation in operations.items()
        ],
    )


def _section(path: str, method: str, operation: Mapping[str, Any], schemas: Mapping[str, Any], base: str) -> Section:
    content = operation.get("requestBody", {}).get("content", {})
    answer = operation["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("schema")
    return Section(
        method=method.upper(),
        path=path,
        summary=operation.get("summary", ""),
        description=operation.get("description", ""),
        parameters=[_row(one["name"], one["schema"], one) for one in operation.get("parameters", ())],
        bodies=[(kind, _bodies(media["schema"], schemas)[0]) for kind, media in content.items()],
        example=_example(path, method, content, base),
        answers=[body for body in _bodies(answer or {}, schemas) if body.rows],
    )


def _bodies(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[Body]:
    """Return the body of a schema, followed by the bodies of the schemas that its fields refer to."""
    name = schema.get("$ref", "").rpartition("/")[2]
    found = schemas.get(name, schema)
    properties: Mapping[str, Any] = found.get("properties", {})
    body = Body(name, found.get("description", ""), [_row(field, one, one) for field, one in properties.items()])
    inside = [one.get("items", one) for one in properties.values()]
    return [body, *(each for one in inside if "$ref" in one for each in _bodies(one, schemas))]


def _row(name: str, schema: Mapping[str, Any], described: Mapping[str, Any]) -> Row:
    return Row(name, _type(schema), described.get("description", ""))


def type_words(schema: Mapping[str, Any]) -> str:
    """Return the type of a JSON schema in a few words, such as "string or list of string"."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(type_words(one) for one in schema["anyOf"] if one.get("type") != "null"))
    if schema.get("type") == "array":
        return f"list of {type_words(schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def _type(schema: Mapping[str, Any]) -> str:
    """Return the type in the same words, with the default value if there is one."""
    default = schema.get("default")
    return type_words(schema) + (f", default {json.dumps(default)}" if default is not None else "")


def _example(path: str, method: str, content: Mapping[str, Any], base: str) -> str:
    if path.endswith("/search"):
        return (
            f'curl {base}{path} --json \'{{"text": "a cup of coffee", "limit": 3}}\'\n'
            f"curl {base}{path} -F image=@photo.jpg -F text=red -F limit=3"
        )
    if content:
        return f'curl -X {method.upper()} {base}{path} --json \'{{"keys": ["SKU-1"]}}\''
    return f"curl {base}{path.replace('{key}', 'SKU-1').replace('{image_id}', 'ID')}"

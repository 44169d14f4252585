"""The page at /docs: the OpenAPI description as plain HTML, with nothing fetched from anywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

__all__ = ["reference_html"]

_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 16%, transparent); --accent: #4f46e5; }
@media (prefers-color-scheme: dark) { :root { --accent: #a5b4fc; } }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 860px; margin: 0 auto; padding: 32px 20px 80px; }
section { border-top: 1px solid var(--line); padding: 20px 0; }
h1 { margin: 0 0 4px; } h2 { font-size: 1.05rem; margin: 0; overflow-wrap: anywhere; }
h3 { font-size: .8rem; text-transform: uppercase; letter-spacing: .06em; opacity: .7; margin: 18px 0 6px; }
code, pre { font: .875rem/1.5 ui-monospace, monospace; } pre { overflow-x: auto; padding: 12px; border: 1px solid
var(--line); border-radius: 8px; } .method { color: var(--accent); margin-right: 8px; } a { color: var(--accent); }
table { border-collapse: collapse; width: 100%; font-size: .92rem; } td, th { text-align: left; padding: 5px 12px 5px 0;
vertical-align: top; border-bottom: 1px solid var(--line); } td:first-child { white-space: nowrap; }
"""


def reference_html(openapi: Mapping[str, Any], base: str) -> str:
    """Give the page for an OpenAPI description; `base` is the address of the server, for the examples."""
    schemas = openapi.get("components", {}).get("schemas", {})
    sections = "".join(
        _section(path, method, operation, schemas, base)
        for path, operations in openapi["paths"].items()
        for method, operation in operations.items()
    )
    title = escape(openapi["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>'
        f"<h1>{title}</h1><p>{escape(openapi['info'].get('description', ''))} Machine-readable: "
        f'<a href="openapi.json">openapi.json</a>.</p>{sections}</body></html>'
    )


def _section(path: str, method: str, operation: Mapping[str, Any], schemas: Mapping[str, Any], base: str) -> str:
    parts = [
        f'<section><h2><code><span class="method">{method.upper()}</span>{escape(path)}</code></h2>'
        f"<p>{escape(operation.get('summary', ''))}. {escape(operation.get('description', ''))}</p>"
    ]
    if operation.get("parameters"):
        rows = [(one["name"], one["schema"], one.get("description", "")) for one in operation["parameters"]]
        parts.append(f"<h3>Parameters</h3>{_table(rows)}")
    content = operation.get("requestBody", {}).get("content", {})
    for kind, media in content.items():
        parts.append(f"<h3>Body, {escape(kind)}</h3>{_fields(media['schema'], schemas)}")
    if example := _example(path, method, content, base):
        parts.append(f"<h3>Example</h3><pre>{escape(example)}</pre>")
    answer = operation["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("schema")
    if answer:
        parts.append(f"<h3>Answer</h3>{_fields(answer, schemas)}")
    return "".join(parts) + "</section>"


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    found = schemas.get(schema.get("$ref", "").rpartition("/")[2], schema)
    rows = [(name, one, one.get("description", "")) for name, one in found.get("properties", {}).items()]
    description = found.get("description", "")
    return (f"<p>{escape(description)}</p>" if description else "") + (_table(rows) if rows else "")


def _table(rows: list[tuple[str, Mapping[str, Any], str]]) -> str:
    cells = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(_type(schema))}</td><td>{escape(description)}</td></tr>"
        for name, schema, description in rows
    )
    return f"<table><tbody>{cells}</tbody></table>"


def _type(schema: Mapping[str, Any]) -> str:
    """Say a JSON schema's type in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(one) for one in schema["anyOf"] if one.get("type") != "null"))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    default = schema.get("default")
    return str(schema.get("type", "any")) + (f", {json.dumps(default)}" if default is not None else "")


def _example(path: str, method: str, content: Mapping[str, Any], base: str) -> str:
    if path.endswith("/search"):
        return (
            f'curl {base}{path} --json \'{{"text": "a cup of coffee", "limit": 3}}\'\n'
            f"curl {base}{path} -F image=@photo.jpg -F text=red -F limit=3"
        )
    if content:
        return f'curl -X {method.upper()} {base}{path} --json \'{{"keys": ["SKU-1"]}}\''
    return f"curl {base}{path.replace('{key}', 'SKU-1').replace('{image_id}', 'ID')}"

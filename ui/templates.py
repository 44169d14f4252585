"""The HTML templates of the page and of the API reference, rendered by one Jinja2 environment.

A template is named by its folder and file: `page/item.html` is `ui/page/templates/item.html`. Every value is escaped,
and a value that a template uses but was not passed raises an error.
"""

from __future__ import annotations

from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined

__all__ = ["render"]


def _source(name: str) -> str:
    folder, _, file = name.partition("/")
    return files("lookalike.ui").joinpath(folder, "templates", file).read_text(encoding="utf-8")


_ENVIRONMENT = Environment(
    loader=FunctionLoader(_source),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_ENVIRONMENT.filters["thousands"] = "{:,}".format  # 1234 is written 1,234


def render(template: str, /, **values: object) -> str:
    """Return the HTML of `template` with `values` in it.

    >>> render("page/header.html", name="Tea & Co", count="2 items", has_appearance=False)[:23]
    '<a class="brand" href="'
    """
    return _ENVIRONMENT.get_template(template).render(values)

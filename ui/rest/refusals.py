"""Sentences about requests that do not fit the API, made from the errors of Pydantic and FastAPI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from lookalike.data.shown_value import shown
from lookalike.ui.rest.reference import type_words
from lookalike.ui.server.messages import PublicWords

__all__ = ["described", "refusal_words"]

_MAX_PLACE_LENGTH: Final = 100
_PARAMETER: Final = ("string, number, boolean, or list of these", "string, number, or boolean")
_OBJECT: Final = "Send a JSON object; the page /docs of this server has an example."
_EXPECTED: Final = {"int": "integer", "float": "number", "decimal": "number", "bool": "boolean", "dict": "object"}


def described(errors: Sequence[Mapping[str, Any]], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the error to report of a body that does not fit `schema`: the first, or a more precise one of its field.

    A value that may have several types has an error for each; the one that lies deepest in a list is about the value
    that is wrong. `takes` is added to the error: the types that the place accepts, or the names of all fields.
    """
    first = errors[0]
    field = first["loc"][:1]
    found = max((one for one in errors if one["loc"][:1] == field), key=lambda one: sum(_places(one["loc"])))
    properties: Mapping[str, Any] = schema.get("properties", {})
    takes = ", ".join(properties)
    if found["type"] != "extra_forbidden" and field and field[0] in properties:
        is_parameter = field[0] == "params" and len(found["loc"]) > 1
        takes = _PARAMETER[any(_places(found["loc"]))] if is_parameter else _types(properties[field[0]], found)
    return {**found, "loc": ("body", *found["loc"]), "takes": takes}


def refusal_words(error: Mapping[str, Any]) -> PublicWords:
    """Return what is wrong with a request, and what to do next, for an error of Pydantic, FastAPI or `described`."""
    kind, value, context = error["type"], error.get("input"), error.get("ctx", {})
    place = _place(error["loc"][1:])
    match kind:
        case "json_invalid":
            return PublicWords(f"{error['msg']}.", _OBJECT)
        case "model_type" | "model_attributes_type":
            return PublicWords(f"The body is {_found(value)}, not a JSON object.", _OBJECT)
        case "extra_forbidden":
            remedy = "Send pictures as files named image, in a form." if place == "image" else ""
            return PublicWords(f"There is no field {place!r}; the fields are {error['takes']}.", remedy)
        case "missing":
            return PublicWords(f"{place} is missing.")
        case "string_too_long":
            return PublicWords(f"{place} is too long; at most {context['max_length']:,} characters are read.")
        case "too_long":
            return PublicWords(f"{place} has too many values; at most {context['max_length']:,} are read.")
        case "greater_than_equal":
            return PublicWords(f"{place} is {value}; the least is {context['ge']:,}.")
        case "less_than_equal":
            return PublicWords(f"{place} is {value}; the most is {context['le']:,}.")
        case "finite_number":
            return PublicWords(f"{place} is not a finite number.")
        case "value_error":
            text = str(context["error"])
            return PublicWords(f"{place}: {text}." if place else f"{text[:1].upper()}{text[1:]}.")
    takes = error.get("takes") or _EXPECTED.get(kind.partition("_")[0], kind.partition("_")[0])
    return PublicWords(f"{place}: expected {takes}, found {_found(value)}.")


def _types(schema: Mapping[str, Any], error: Mapping[str, Any]) -> str:
    """Return the types that a field takes, or the types of a list's values if the error is about one of them."""
    if not any(_places(error["loc"])):
        return type_words(schema)
    lists = [one["items"] for one in (schema, *schema.get("anyOf", ())) if "items" in one]
    return type_words(lists[0]) if lists else type_words(schema)


def _places(location: Sequence[int | str]) -> list[bool]:
    """Return which parts of a location are places in a list."""
    return [isinstance(part, int) for part in location]


def _place(location: Sequence[int | str]) -> str:
    """Return a location as people write it, `vector[3]`; names of types, which Pydantic adds to it, are left out."""
    names = [part for part in location if isinstance(part, str)]
    kept = names[: 2 if names[:1] == ["params"] else 1]
    places = [f"[{part}]" for part in location if isinstance(part, int)]
    return ".".join(kept)[:_MAX_PLACE_LENGTH] + "".join(places)


def _found(value: object) -> str:
    """Return a JSON value in a few words."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float() | Decimal():
            return f"{value}"[:_MAX_PLACE_LENGTH]
        case str():
            return f"the string {shown(value[:_MAX_PLACE_LENGTH])}"
        case list():
            return "a list"
        case _:
            return "an object"

"""JSON requests, parsed without blocking the event loop, with exact numbers and limits on what a body can cost."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import orjson
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from lookalike.data.exact_numbers import exact_number
from lookalike.ui.rest.refusals import described
from lookalike.ui.server.bounds import MAX_JSON_PARTS

__all__ = ["JsonReader", "json_value_of", "validated"]

Model = TypeVar("Model", bound=BaseModel)

_AT_ONCE = 2
_MOST_NAMES = 100
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class JsonReader:
    """Reads the bodies of one application's requests, in threads, a few at a time."""

    def __init__(self) -> None:
        self._limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def read(self, model: type[Model], request: Request) -> Model:
        """Receive and check the body of a request.

        Raises:
            RequestValidationError: it does not fit the model.
            HTTPException: it has too many values (413).
        """
        body = await request.body()
        return await anyio.to_thread.run_sync(_parsed, model, body, limiter=self._limiter)


def _parsed(model: type[Model], body: bytes) -> Model:
    try:
        return validated(model, json_value_of(body))
    except ValueError as error:
        raise RequestValidationError([{"loc": ("body",), "msg": str(error), "type": "json_invalid"}]) from None


def json_value_of(body: bytes) -> Any:  # noqa: ANN401  # any JSON
    """Parse JSON; a number with a fraction or exponent is a Decimal if its float64 lies between other whole numbers.

    Raises:
        ValueError: it is not JSON.
        HTTPException: it has too many values (413).
    """
    if sum(map(body.count, (b",", b"[", b"{"))) > MAX_JSON_PARTS:
        raise HTTPException(413, f"The body has too many values; at most {MAX_JSON_PARTS:,} are read.")
    try:
        value = json.loads(body, parse_float=exact_number)
        if _SURROGATE.search(body):
            orjson.loads(body)  # which refuses half of a character
    except (ValueError, RecursionError) as error:
        where = f": line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ValueError(f"The body is not JSON{where}" if body else "The body is empty") from None
    return value


def validated(model: type[Model], value: object) -> Model:
    """Check parsed JSON.

    Raises:
        RequestValidationError: it does not fit the model.
    """
    if isinstance(value, dict) and len(value) > _MOST_NAMES:  # each of the others would be one more error
        value = dict(list(value.items())[:_MOST_NAMES])
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = described(error.errors(include_url=False), model.model_json_schema())
        raise RequestValidationError([found]) from None

"""The answer to a request whose address exists, but under another method."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from lookalike.ui.server.guard import error_body

__all__ = ["methods_at", "wrong_method"]


def methods_at(scope: Scope, routes: Iterable[BaseRoute]) -> Collection[str]:
    """Return the methods under which `routes` have the address of a request; empty if it is not theirs."""
    found = (route for route in routes if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE)
    return {method for route in found for method in route.methods or ()}


def wrong_method(scope: Scope, allowed: Collection[str]) -> JSONResponse:
    """Return the answer 405 to a request, with the methods that its address is `allowed`."""
    names = sorted(allowed)
    message = f"{scope['method']} is not a method of this address."
    return JSONResponse(
        error_body("MethodNotAllowed", message, f"Use {' or '.join(names)}."), 405, {"Allow": ", ".join(names)}
    )

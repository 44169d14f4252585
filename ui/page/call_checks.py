"""Checks of the calls to the page's functions, before Gradio sees them.

Gradio takes every dictionary with a path or a URL for a file, at any depth of a call, and copies or fetches the file.
Therefore each value of a call must be a string, a number, a boolean or null, and Gradio receives the validated call
instead of the original body.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import HTTPException
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.types import Receive

from lookalike.ui.page.recipe import NOT_OF_THE_PAGE
from lookalike.ui.server.bounds import MAX_CALL_BYTES, MAX_SESSIONS, MAX_UNREAD

__all__ = ["CallChecks"]

_MOST_PARTS = 20_000
"""Limit on the commas and opening brackets of a call, counted inside its texts too."""

Scalar = bool | int | float | str | None


class _Call(BaseModel):
    """A call of one function, with only the fields that the page uses; Gradio's other fields are dropped."""

    model_config = ConfigDict(strict=True)

    data: Annotated[list[Scalar], Field(max_length=100)]
    event_data: Scalar | Annotated[dict[str, Scalar], Field(max_length=10)] = None
    fn_index: int
    trigger_id: int | None = None
    session_hash: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{1,64}$")]


class _Cancellation(BaseModel):
    """A call that the page no longer waits for."""

    session_hash: Annotated[str, Field(max_length=64)]
    fn_index: int
    event_id: Annotated[str, Field(max_length=64)]


class CallChecks:
    """Refuses calls that the page could not have sent.

    `inputs` has the number of values that each function takes, by the function's id. `unread` and `answers` belong to
    Gradio's queue: by session, the ids of the calls whose answers the page has not read yet, and those answers.
    """

    def __init__(
        self, inputs: Mapping[int, int], unread: dict[str, set[str]], answers: MutableMapping[str, Any]
    ) -> None:
        self._inputs = inputs
        self._unread = unread
        self._answers = answers

    async def read_call(self, path: str, receive: Receive) -> bytes:
        """Read the call that is sent to `path` and return it as JSON, with only the fields that Gradio may have.

        Raises:
            HTTPException: the call is too large (413), is not one that the page sends (422), or too many answers of
                its session are unread (429).
        """
        kind: type[_Call | _Cancellation] = _Cancellation if path.endswith("/cancel") else _Call
        body = await _read(receive)
        if body.count(b",") + body.count(b"[") + body.count(b"{") > _MOST_PARTS:
            raise HTTPException(422, NOT_OF_THE_PAGE)  # each of so many values would take time to refuse
        try:
            call = kind.model_validate_json(body)
        except ValidationError:
            raise HTTPException(422, NOT_OF_THE_PAGE) from None
        if isinstance(call, _Call):
            if self._inputs.get(call.fn_index) != len(call.data):
                raise HTTPException(422, NOT_OF_THE_PAGE)
            self._make_room(call.session_hash)
        return json.dumps(call.model_dump()).encode()

    def has_answers_for(self, query_string: bytes) -> bool:
        """Return whether a request for the answers of a session names one that has made a call."""
        sessions = parse_qs(query_string.decode("latin-1")).get("session_hash", [])
        return len(sessions) == 1 and sessions[0] in self._answers

    def _make_room(self, session: str) -> None:
        unread = self._unread
        if len(unread.get(session, ())) >= MAX_UNREAD:
            raise HTTPException(429, "Too many searches of this page are under way; wait for them.")
        while session not in unread and len(unread) >= MAX_SESSIONS:
            idle = next((name for name, events in unread.items() if not events), next(iter(unread)))
            unread.pop(idle)
            self._answers.pop(idle, None)


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        piece: bytes = message.get("body", b"")
        body += piece
        if len(body) > MAX_CALL_BYTES:
            raise HTTPException(413, "The page sent too much at once; remove some of the filters.")
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return body

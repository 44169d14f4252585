"""Calls of the page's functions, checked before Gradio sees them.

Gradio takes a dictionary that has a path or an address for a file, wherever it stands in a call, and copies or fetches
what it names. So every value of a call is a text, a number, a boolean or null, and Gradio gets the call as it was
understood here, not as it came.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping
from typing import Annotated, Any

from fastapi import HTTPException
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.types import Receive

from lookalike.ui.page.recipe import NOT_OF_THE_PAGE
from lookalike.ui.server.bounds import MAX_CALL_BYTES, MAX_SESSIONS, MAX_UNREAD

__all__ = ["Door"]

Scalar = bool | int | float | str | None


class _Call(BaseModel):
    """What the page sends to call a function; anything else that a call may have for Gradio is left out."""

    model_config = ConfigDict(strict=True)

    data: Annotated[list[Scalar], Field(max_length=100)]
    event_data: Scalar | Annotated[dict[str, Scalar], Field(max_length=10)] = None
    fn_index: int
    trigger_id: int | None = None
    session_hash: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{1,64}$")]


class _Cancelling(BaseModel):
    session_hash: Annotated[str, Field(max_length=64)]
    fn_index: int
    event_id: Annotated[str, Field(max_length=64)]


class Door:
    """Lets calls through that the page could have sent.

    `inputs` has the number of values that each function takes, by the function's id. `unread` and `answers` belong to
    Gradio's queue: the calls of each page whose answers it has not read yet, and those answers.
    """

    def __init__(
        self, inputs: Mapping[int, int], unread: dict[str, set[str]], answers: MutableMapping[str, Any]
    ) -> None:
        self._inputs = inputs
        self._unread = unread
        self._answers = answers

    async def checked(self, path: str, receive: Receive) -> bytes:
        """Read the call that is sent to `path`; return JSON with only the parts that Gradio may have.

        Raises:
            HTTPException: it is too large, is nothing that the page sends, or too many answers were not read.
        """
        kind: type[_Call | _Cancelling] = _Cancelling if path.endswith("/cancel") else _Call
        body = await _read(receive)
        try:
            call = kind.model_validate_json(body)
        except ValidationError:
            raise HTTPException(422, NOT_OF_THE_PAGE) from None
        if isinstance(call, _Call):
            if self._inputs.get(call.fn_index) != len(call.data):
                raise HTTPException(422, NOT_OF_THE_PAGE)
            self._make_room(call.session_hash)
        return json.dumps(call.model_dump()).encode()

    def _make_room(self, session: str) -> None:
        unread = self._unread
        if len(unread.get(session, ())) >= MAX_UNREAD:
            raise HTTPException(429, "Too many searches of this page are under way; wait for them.")
        while session not in unread and len(unread) >= MAX_SESSIONS:
            done = next((name for name, events in unread.items() if not events), next(iter(unread)))
            unread.pop(done)
            self._answers.pop(done, None)


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        piece: bytes = message.get("body", b"")
        body += piece
        if len(body) > MAX_CALL_BYTES:
            raise HTTPException(413, "The page sent more than is read; take back some of the filters.")
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return body

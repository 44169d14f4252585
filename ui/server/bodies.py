"""Receiving the body of a request: how large it may be, how long it may take, and how many are received at once."""

from __future__ import annotations

import asyncio
import time

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.types import Message, Receive

__all__ = ["FORM", "BodySlots", "LimitedBody", "is_form", "too_large"]

FORM = "multipart/form-data"
_CLOSE = {"Connection": "close"}


def is_form(headers: Headers) -> bool:
    """Return whether a request says that its body is a form."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() == FORM


def too_large(limit: int) -> str:
    """Return the message that a body has more than `limit` bytes."""
    return f"The request is too large; at most {limit // 2**20} MB are read."


class BodySlots:
    """Limits how many large bodies are in memory at once.

    It belongs to one event loop and is not safe to use from several threads.
    """

    def __init__(self, max_bodies: int) -> None:
        self.free = max_bodies


class LimitedBody:
    """The `receive` of one request, which counts the bytes of the body, whatever its announced length.

    `limit` is in bytes and `seconds` is the time for the whole body, from the first call on. A body that stays in
    memory takes one of `slots` once it has more than `small` bytes; `close` gives it back.
    """

    def __init__(self, receive: Receive, *, limit: int, seconds: float, slots: BodySlots | None, small: int) -> None:
        self._receive = receive
        self._limit, self._seconds, self._slots, self._small = limit, seconds, slots, small
        self._size = 0
        self._until: float | None = None
        self._complete = False
        self._has_slot = False

    async def __call__(self) -> Message:
        """Return the next message.

        Raises:
            HTTPException: the body is too large (413) or takes too long (408), or too many are being received (503).
        """
        if self._complete:
            return await self._receive()
        if self._until is None:
            self._until = time.monotonic() + self._seconds
        try:
            async with asyncio.timeout(self._until - time.monotonic()):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(
                408, f"The request was not complete after {self._seconds:.0f} seconds.", headers=_CLOSE
            ) from None
        self._size += len(message.get("body", b""))
        self._complete = message["type"] != "http.request" or not message.get("more_body", False)
        if self._size > self._limit:
            raise HTTPException(413, too_large(self._limit))
        if self._size > self._small and self._slots is not None and not self._has_slot:
            if not self._slots.free:
                raise HTTPException(
                    503, "Too many large requests are being received; try again in a few seconds.", headers=_CLOSE
                )
            self._slots.free -= 1
            self._has_slot = True
        return message

    def close(self) -> None:
        """Release the slot, once the request has been answered."""
        if self._has_slot and self._slots is not None:
            self._slots.free += 1
            self._has_slot = False

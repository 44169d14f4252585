"""A server of an application over real sockets, and calls of the page's functions as a browser makes them."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def functions(client: Any) -> dict[int, int]:  # noqa: ANN401  # of httpx, or Starlette's for tests
    """Return the number of values that each of the page's server functions takes, by the function's id."""
    listed = client.get("/config").json()["dependencies"]
    return {one["id"]: len(one["inputs"]) for one in listed if one["backend_fn"]}


def search_of(client: Any) -> int:  # noqa: ANN401
    """Return the id of the function that searches with the values of all controls."""
    return next(number for number, count in functions(client).items() if count == len(CONTROLS))


CONTROLS: dict[str, object] = {
    "text": "",
    "subject": "",
    "chosen": "",
    "without": "",
    "balance": 0.5,
    "appearance": 1,
    "exact": False,
    "min_score": "",
    "turn": "0",
}
"""What the page's controls say when nothing is asked for, in their order."""


def call(client: httpx.Client, function: int, data: list[object], **more: object) -> list[dict[str, Any]]:
    """Call a function of the page and give the JSON texts that it answers with, read."""
    session = f"s{time.monotonic_ns()}"
    body = {"data": data, "fn_index": function, "session_hash": session, **more}
    client.post("/gradio_api/queue/join", json=body).raise_for_status()
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as answer:
        for line in answer.iter_lines():
            said = json.loads(line.removeprefix("data: ")) if line else {}
            if said.get("msg") == "process_completed":
                assert said["success"], said
                return [json.loads(text) for text in said["output"]["data"]]
    raise AssertionError("there was no answer")

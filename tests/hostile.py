"""What hostile files are tried with: random damage, and a server that counts who comes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from lookalike.data.errors import NotAPicture
from lookalike.data.pictures.image_decoder import decode


def check_damaged(originals: Sequence[bytes], rounds: int, seed: int, places: range | None = None) -> None:
    """Change some bytes of pictures at random, anywhere or among `places`: each is refused in words, or a picture."""
    random = np.random.default_rng(seed)
    for number in range(rounds):
        content = bytearray(originals[number % len(originals)])
        among = places or range(len(content))
        for place in random.integers(among.start, among.stop, 8):
            content[place] = int(random.integers(256))
        try:
            picture = decode(bytes(content))
        except NotAPicture:
            continue
        assert picture.rgb.mode == "RGB"


class Trap:
    """A server that nobody should ask for anything, at `address`; `count` is how often it was asked."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.count = 0
        self.address = ""

    @contextmanager
    def open(self) -> Iterator[Trap]:
        trap = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                trap.count += 1
                self.send_response(200)
                self.end_headers()
                self.wfile.write(trap.content)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        self.address = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

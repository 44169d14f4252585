"""What may be chosen about fetching."""

from __future__ import annotations

from dataclasses import dataclass

from lookalike.data.errors import UsageError
from lookalike.data.pictures.image_decoder import MAX_BYTES

__all__ = ["FetchSettings"]


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """How pictures are fetched.

    `allow_private` fetches from wherever an address leads, `allowed` from these (numbers, not names) though they are
    not public. `timeout_s` is for one request from the connection to the last byte, `silence_s` for connecting and for
    each wait in between. A failed attempt is followed by another after `backoff_s`, then after twice that, and so on,
    give or take a half. A server may ask for a pause of up to `longest_pause_s`; a host that has been silent for
    `patience_s` is given up. `cache_bytes` is how much of the pictures stays on disk.

    Raises:
        UsageError: a number is too small.
    """

    allow_private: bool = False
    allowed: frozenset[str] = frozenset()
    per_host: int = 4
    threads: int = 32
    timeout_s: float = 60.0
    silence_s: float = 10.0
    attempts: int = 4
    backoff_s: float = 0.5
    longest_pause_s: float = 60.0
    patience_s: float = 30.0
    max_bytes: int = MAX_BYTES
    cache_bytes: int = 1024 * 1024 * 1024

    def __post_init__(self) -> None:
        if min(self.per_host, self.threads, self.attempts) < 1:
            raise UsageError("At least one picture is fetched at a time, and tried once.")
        if min(self.timeout_s, self.silence_s) <= 0:
            raise UsageError("The time to fetch a picture has to be more than 0 seconds.")

"""Settings of the fetcher."""

from __future__ import annotations

from dataclasses import dataclass

from lookalike.data.errors import UsageError
from lookalike.data.pictures.image_decoder import MAX_BYTES

__all__ = ["FetchSettings"]


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """How pictures are fetched.

    `allow_private` permits any address; `allowed` permits single addresses (numbers, not names) that are not public.
    At most `threads` pictures are fetched at a time, and `per_host` of them from one host. `timeout_s` limits a request
    from connecting to the last byte, and `silence_s` limits connecting and each wait for bytes. A picture is tried up
    to `attempts` times; the delay after the first failure is `backoff_s`, doubles with each further one, and varies at
    random by half. A server may ask for a pause of up to `longest_pause_s`; a host that is silent for `patience_s` is
    given up. `max_bytes` limits a picture, `cache_bytes` all pictures kept on disk.

    >>> slowly = FetchSettings(per_host=1, timeout_s=120)
    >>> catalog.index("products.csv", fetch=slowly).finish().unchanged
    8

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
            raise UsageError("per_host, threads and attempts must be at least 1.")
        if min(self.timeout_s, self.silence_s) <= 0:
            raise UsageError("timeout_s and silence_s must be more than 0 seconds.")

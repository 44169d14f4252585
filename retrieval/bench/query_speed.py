"""How long a search by words takes, beside the one run of the text network that it cannot do without."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lookalike.retrieval.catalog import Catalog

__all__ = ["QuerySpeed", "measure_query_speed"]

_COLOURS = ("red", "green", "blue", "black", "white", "brown", "yellow", "grey")
_THINGS = ("cup", "shoe", "lamp", "bag", "chair", "coat", "clock", "vase", "knife", "boat", "hat", "drum")
_WHERE = ("on a table", "for children", "made of wood", "with a pattern")
_WARM_UP = 5


@dataclass(frozen=True, slots=True)
class QuerySpeed:
    """Medians in milliseconds.

    `network_ms` is one run of the text network on one short text, `text_ms` a search by words that were not asked
    before, `repeated_ms` one by words that were; `ratio` is the median over all pairs of `text_ms` to `network_ms`.
    """

    queries: int
    network_ms: float
    text_ms: float
    repeated_ms: float
    ratio: float


def measure_query_speed(folder: Path, queries: int = 100) -> QuerySpeed:
    """Time searches by words of a catalogue on disk, each right after a run of the network on other words.

    Raises:
        ModalityUnsupported: the catalogue's model reads no words.
    """
    texts = _texts()
    with Catalog.open(folder) as catalog:
        encoder = catalog.encoder
        network, new, repeated = [], [], []
        for number in range(queries + _WARM_UP):
            alone, searched = next(texts), next(texts)
            ran = _ms(lambda text=alone: encoder.encode_titles([text]))  # type: ignore[misc]  # bound at once
            took = _ms(lambda text=searched: catalog.search(text))  # type: ignore[misc]
            again = _ms(lambda text=searched: catalog.search(text))  # type: ignore[misc]
            if number >= _WARM_UP:
                network.append(ran)
                new.append(took)
                repeated.append(again)
    ratios = [one / other for one, other in zip(new, network, strict=True)]
    medians = (round(statistics.median(times), 3) for times in (network, new, repeated, ratios))
    return QuerySpeed(queries, *medians)


def _texts() -> Iterator[str]:
    """Yield short texts, all different."""
    for number in itertools.count():
        for where, thing, colour in itertools.product(_WHERE, _THINGS, _COLOURS):
            yield f"a {colour} {thing} {where}" + (f" {number}" if number else "")


def _ms(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000

"""Comparison of two models on one catalog: on judged queries, if there are any, and on a sample of its own items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lookalike.data.errors import FeedError, UsageError
from lookalike.retrieval.core import Core
from lookalike.retrieval.evaluation.judged_queries import JudgedQuery
from lookalike.retrieval.evaluation.measures import Evaluation, Search, evaluate
from lookalike.retrieval.query import Query
from lookalike.retrieval.spaces.catalog_file import CatalogFile

__all__ = ["Comparison", "Example", "Side", "compare"]

_SAMPLE = 100
_DEPTH = 10
_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Side:
    """One set of models and its evaluation on judged queries; `refused` is the reason if they could not be searched."""

    models: str
    evaluation: Evaluation | None = None
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """The hits of both sides, best first, for an item that is searched for by its key."""

    key: str
    old: tuple[str, ...]
    new: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both sides; `overlap` is the mean share of the first ten hits that they have in common, over `items` queries."""

    old: Side
    new: Side
    items: int
    overlap: float
    examples: tuple[Example, ...] = ()


def compare(
    core: Core, old: CatalogFile, new: CatalogFile, queries: Sequence[JudgedQuery]
) -> Iterator[Comparison | int]:
    """Search with both; yield the number of searches done after each, and at the end the `Comparison`."""
    searches = core.search_by(old), core.search_by(new)
    done = 0
    sides = []
    for file, search in zip((old, new), searches, strict=True):
        side = Side(file.models)
        try:
            for step in evaluate(core, queries, search=search) if queries else ():
                if isinstance(step, Evaluation):
                    side = Side(side.models, step)
                else:
                    done += 1
                    yield done
        except FeedError as error:  # for example words, if a model reads none
            side = Side(side.models, refused=str(error))
        sides.append(side)
    shares, examples = [], []
    for key in core.sample_keys(_SAMPLE):
        found = [_like(search, key) for search in searches]
        done += 1
        yield done
        if found[0] is None or found[1] is None or not (found[0] or found[1]):
            continue
        shares.append(len({*found[0]} & {*found[1]}) / max(len(found[0]), len(found[1])))
        examples.append(Example(key, tuple(found[0]), tuple(found[1])))
    overlap = float(np.mean(shares)) if shares else 0.0
    chosen = examples[:: max(len(examples) // _EXAMPLES, 1)][:_EXAMPLES]
    yield Comparison(sides[0], sides[1], len(shares), overlap, tuple(chosen))


def _like(search: Search, key: str) -> list[str] | None:
    """Return the first hits for an item, or None if it has no vector."""
    try:
        return search(Query(like=[key], limit=_DEPTH)).keys
    except UsageError:
        return None

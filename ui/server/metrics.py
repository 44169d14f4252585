"""Metrics for Prometheus: searches and their times, errors, and the number of items."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from lookalike import Catalog

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

_BUCKETS_S: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """The metrics of one application, in a registry of their own."""

    def __init__(self, catalog: Catalog) -> None:
        self._registry = CollectorRegistry()
        self._searches = Counter(
            "lookalike_searches", "Searches answered, by source (page or API)", ["source"], registry=self._registry
        )
        self._seconds = Histogram(
            "lookalike_search_seconds", "Duration of a search in seconds", buckets=_BUCKETS_S, registry=self._registry
        )
        self._errors = Counter(
            "lookalike_errors", "Requests that failed, by type of error", ["type"], registry=self._registry
        )
        items = Gauge("lookalike_items", "Items in the catalog", registry=self._registry)
        items.set_function(catalog.count)

    @contextmanager
    def search(self, source: str) -> Iterator[None]:
        """Time the search in the `with` block and, if it succeeds, count it under `source`."""
        started = perf_counter()
        yield
        self._seconds.observe(perf_counter() - started)
        self._searches.labels(source).inc()

    def failed(self, error: Exception) -> None:
        """Count a request that failed with `error`."""
        self._errors.labels(type(error).__name__).inc()

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self._registry)

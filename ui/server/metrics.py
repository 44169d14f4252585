"""What Prometheus is told: how many searches, how long they took, what went wrong, how many items there are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from lookalike import Catalog

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

_BUCKETS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """The measures of one application, in a registry of its own."""

    def __init__(self, catalog: Catalog) -> None:
        self._registry = CollectorRegistry()
        self._searches = Counter(
            "lookalike_searches", "Searches answered, by the way in", ["source"], registry=self._registry
        )
        self._seconds = Histogram(
            "lookalike_search_seconds", "How long a search took", buckets=_BUCKETS_S, registry=self._registry
        )
        self._errors = Counter(
            "lookalike_errors", "Requests that failed, by the kind of error", ["type"], registry=self._registry
        )
        items = Gauge("lookalike_items", "Items in the catalog", registry=self._registry)
        items.set_function(catalog.count)

    @contextmanager
    def search(self, source: str) -> Iterator[None]:
        """Time a search that came in by `source`, and count it once it is answered."""
        started = perf_counter()
        yield
        self._seconds.observe(perf_counter() - started)
        self._searches.labels(source).inc()

    def failed(self, error: Exception) -> None:
        """Count an error."""
        self._errors.labels(type(error).__name__).inc()

    def exposition(self) -> bytes:
        """Give all measures in Prometheus's text format."""
        return generate_latest(self._registry)

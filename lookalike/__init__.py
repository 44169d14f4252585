"""Find products by picture and by words.

    from lookalike import Catalog

    catalog = Catalog.open("shop")
    for hit in catalog.search(text="red shoes", filter="price < 80"):
        print(hit.key, hit.score)

What is imported from here is public; everything below it may change. Nothing is loaded before it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lookalike.retrieval import Catalog, CatalogInfo, Commit, Hit, PurgeReport, Results, StoredItem

__all__ = ["Catalog", "CatalogInfo", "Commit", "Hit", "PurgeReport", "Results", "StoredItem"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  # any public name
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("lookalike.retrieval"), name)


def __dir__() -> list[str]:
    return __all__

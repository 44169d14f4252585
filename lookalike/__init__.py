"""Find products by picture and by words.

    from lookalike import Catalog

    catalog = Catalog.open("shop")
    for hit in catalog.search("red shoes", filter="price < 80"):
        print(hit.key, hit.score)

What is imported from here is public; the modules below may change. Nothing is loaded before it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lookalike.data.errors import (
        BackupDamaged,
        BackupNotFound,
        CatalogBusy,
        CatalogDamaged,
        CatalogExists,
        CatalogFormat,
        CatalogGone,
        CatalogNotFound,
        CatalogReadOnly,
        FeedError,
        FieldTypeError,
        FilterError,
        ItemExists,
        ItemNotFound,
        LookalikeError,
        MissingDependency,
        ModalityUnsupported,
        ModelMismatch,
        NotAPicture,
        OriginalsMissing,
        StorageFailed,
        SyncRefused,
        UsageError,
        WeightsUnavailable,
    )
    from lookalike.data.feeds.feed import Feed, open_feed
    from lookalike.data.fetch.settings import FetchSettings
    from lookalike.data.field_type import FieldType
    from lookalike.data.item import Rejected
    from lookalike.retrieval.catalog import Catalog
    from lookalike.retrieval.catalog_info import CatalogInfo
    from lookalike.retrieval.evaluation.judged_queries import JudgedQuery
    from lookalike.retrieval.evaluation.measures import Evaluation
    from lookalike.retrieval.ingest.index_run import IndexReport
    from lookalike.retrieval.maintenance.backup import BackupReport, Snapshot
    from lookalike.retrieval.maintenance.parquet_import import ImportReport
    from lookalike.retrieval.maintenance.repair import RepairReport
    from lookalike.retrieval.maintenance.verification import Verification
    from lookalike.retrieval.query import Query
    from lookalike.retrieval.reencode.reencode_run import ReencodeOptions, ReencodeReport
    from lookalike.retrieval.results import Hit, Results
    from lookalike.retrieval.search.facets import Facet
    from lookalike.retrieval.store.ledger import LedgerEntry
    from lookalike.retrieval.store.purge import PurgeReport
    from lookalike.retrieval.stored_rows import Commit, StoredItem

_HOMES = {
    "data.errors": (
        "BackupDamaged BackupNotFound CatalogBusy CatalogDamaged CatalogExists CatalogFormat CatalogGone "
        "CatalogNotFound CatalogReadOnly FeedError FieldTypeError FilterError ItemExists ItemNotFound LookalikeError "
        "MissingDependency ModalityUnsupported ModelMismatch NotAPicture OriginalsMissing StorageFailed SyncRefused "
        "UsageError WeightsUnavailable"
    ),
    "data.feeds.feed": "Feed open_feed",
    "data.fetch.settings": "FetchSettings",
    "data.field_type": "FieldType",
    "data.item": "Rejected",
    "retrieval.catalog": "Catalog",
    "retrieval.catalog_info": "CatalogInfo",
    "retrieval.evaluation.judged_queries": "JudgedQuery",
    "retrieval.evaluation.measures": "Evaluation",
    "retrieval.ingest.index_run": "IndexReport",
    "retrieval.maintenance.backup": "BackupReport Snapshot",
    "retrieval.maintenance.parquet_import": "ImportReport",
    "retrieval.maintenance.repair": "RepairReport",
    "retrieval.maintenance.verification": "Verification",
    "retrieval.query": "Query",
    "retrieval.reencode.reencode_run": "ReencodeOptions ReencodeReport",
    "retrieval.results": "Hit Results",
    "retrieval.search.facets": "Facet",
    "retrieval.store.ledger": "LedgerEntry",
    "retrieval.store.purge": "PurgeReport",
    "retrieval.stored_rows": "Commit StoredItem",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [  # a literal list, for type checkers and editors; a test compares it with the table above
    "BackupDamaged",
    "BackupNotFound",
    "BackupReport",
    "Catalog",
    "CatalogBusy",
    "CatalogDamaged",
    "CatalogExists",
    "CatalogFormat",
    "CatalogGone",
    "CatalogInfo",
    "CatalogNotFound",
    "CatalogReadOnly",
    "Commit",
    "Evaluation",
    "Facet",
    "Feed",
    "FeedError",
    "FetchSettings",
    "FieldType",
    "FieldTypeError",
    "FilterError",
    "Hit",
    "ImportReport",
    "IndexReport",
    "ItemExists",
    "ItemNotFound",
    "JudgedQuery",
    "LedgerEntry",
    "LookalikeError",
    "MissingDependency",
    "ModalityUnsupported",
    "ModelMismatch",
    "NotAPicture",
    "OriginalsMissing",
    "PurgeReport",
    "Query",
    "ReencodeOptions",
    "ReencodeReport",
    "Rejected",
    "RepairReport",
    "Results",
    "Snapshot",
    "StorageFailed",
    "StoredItem",
    "SyncRefused",
    "UsageError",
    "Verification",
    "WeightsUnavailable",
    "open_feed",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401  # any public name
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"lookalike.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__

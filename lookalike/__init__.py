"""Find products by picture and by words.

    from lookalike import Catalog

    catalog = Catalog.open("shop")
    for hit in catalog.search("red shoes", filter="price < 80"):
        print(hit.key, hit.score)

What is imported from here is public; the modules below may change. Nothing is loaded before it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for type checkers and editors; `A as A` marks a name that is exported
    from lookalike.data.errors import BackupDamaged as BackupDamaged
    from lookalike.data.errors import BackupNotFound as BackupNotFound
    from lookalike.data.errors import CatalogBusy as CatalogBusy
    from lookalike.data.errors import CatalogDamaged as CatalogDamaged
    from lookalike.data.errors import CatalogExists as CatalogExists
    from lookalike.data.errors import CatalogFormat as CatalogFormat
    from lookalike.data.errors import CatalogGone as CatalogGone
    from lookalike.data.errors import CatalogNotFound as CatalogNotFound
    from lookalike.data.errors import CatalogReadOnly as CatalogReadOnly
    from lookalike.data.errors import FeedError as FeedError
    from lookalike.data.errors import FieldTypeError as FieldTypeError
    from lookalike.data.errors import FilterError as FilterError
    from lookalike.data.errors import ItemExists as ItemExists
    from lookalike.data.errors import ItemNotFound as ItemNotFound
    from lookalike.data.errors import LookalikeError as LookalikeError
    from lookalike.data.errors import MissingDependency as MissingDependency
    from lookalike.data.errors import ModalityUnsupported as ModalityUnsupported
    from lookalike.data.errors import ModelMismatch as ModelMismatch
    from lookalike.data.errors import NotAPicture as NotAPicture
    from lookalike.data.errors import OriginalsMissing as OriginalsMissing
    from lookalike.data.errors import StorageFailed as StorageFailed
    from lookalike.data.errors import SyncRefused as SyncRefused
    from lookalike.data.errors import UsageError as UsageError
    from lookalike.data.errors import WeightsUnavailable as WeightsUnavailable
    from lookalike.data.feeds.feed import Feed as Feed
    from lookalike.data.feeds.feed import open_feed as open_feed
    from lookalike.data.fetch.settings import FetchSettings as FetchSettings
    from lookalike.data.field_type import FieldType as FieldType
    from lookalike.data.item import Rejected as Rejected
    from lookalike.retrieval.catalog import Catalog as Catalog
    from lookalike.retrieval.catalog_info import CatalogInfo as CatalogInfo
    from lookalike.retrieval.evaluation.judged_queries import JudgedQuery as JudgedQuery
    from lookalike.retrieval.evaluation.measures import Evaluation as Evaluation
    from lookalike.retrieval.ingest.index_run import IndexReport as IndexReport
    from lookalike.retrieval.maintenance.backup import BackupReport as BackupReport
    from lookalike.retrieval.maintenance.backup import Snapshot as Snapshot
    from lookalike.retrieval.maintenance.parquet_import import ImportReport as ImportReport
    from lookalike.retrieval.maintenance.repair import RepairReport as RepairReport
    from lookalike.retrieval.maintenance.verification import Verification as Verification
    from lookalike.retrieval.query import Query as Query
    from lookalike.retrieval.reencode.reencode_run import ReencodeOptions as ReencodeOptions
    from lookalike.retrieval.reencode.reencode_run import ReencodeReport as ReencodeReport
    from lookalike.retrieval.results import Hit as Hit
    from lookalike.retrieval.results import Results as Results
    from lookalike.retrieval.search.facets import Facet as Facet
    from lookalike.retrieval.store.ledger import LedgerEntry as LedgerEntry
    from lookalike.retrieval.store.purge import PurgeReport as PurgeReport
    from lookalike.retrieval.stored_rows import Commit as Commit
    from lookalike.retrieval.stored_rows import StoredItem as StoredItem

# The same names for the interpreter, by the module that defines them and is imported when one of them is first used.
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

__all__ = sorted(_HOME_OF, key=lambda name: (name.islower(), name))

if not TYPE_CHECKING:  # a type checker reports a name that is not imported above

    def __getattr__(name: str) -> object:
        if name not in _HOME_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"lookalike.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__

"""The catalogue, with every operation on it as a method of one class.

This module declares the public API and nothing more: each method checks its arguments and calls the module that does
the work. It is longer than other modules because every method is documented here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Unpack

import numpy as np
from numpy.typing import ArrayLike

from lookalike.data.counted import counted
from lookalike.data.errors import CatalogNotFound, ItemNotFound, UsageError
from lookalike.data.feeds.feed import Feed, FeedOptions, open_feeds
from lookalike.data.feeds.rows import feed_of_rows
from lookalike.data.fetch.settings import FetchSettings
from lookalike.data.field_type import FieldType
from lookalike.data.shown_value import shown
from lookalike.models import Encoder
from lookalike.retrieval.arguments import (
    Keys,
    Texts,
    columns_of,
    images_of,
    keys_of,
    names_of,
    texts_of,
    titles_of,
    whole,
)
from lookalike.retrieval.catalog_info import CatalogInfo, info_of
from lookalike.retrieval.core import Core
from lookalike.retrieval.evaluation.judged_queries import JudgedQuery, keep_queries, kept_queries, read_queries
from lookalike.retrieval.evaluation.measures import Evaluation, evaluated
from lookalike.retrieval.filters.nodes import Parameters
from lookalike.retrieval.ingest.dry_run import DryRun
from lookalike.retrieval.ingest.feed_identity import identified
from lookalike.retrieval.ingest.index_run import IndexReport, IndexRun
from lookalike.retrieval.ingest.watch import Watch
from lookalike.retrieval.input_checks import Column, checked_rows, checked_vectors
from lookalike.retrieval.item_writes import change_items, put_vectors
from lookalike.retrieval.maintenance import field_changes
from lookalike.retrieval.maintenance.backup import BackupReport, Snapshot, restore, write_backup
from lookalike.retrieval.maintenance.history import purge_history
from lookalike.retrieval.maintenance.parquet_export import export_parquet
from lookalike.retrieval.maintenance.parquet_import import ImportReport, import_parquet, open_vector_table
from lookalike.retrieval.maintenance.repair import RepairReport, repair
from lookalike.retrieval.maintenance.verification import Verification, verify
from lookalike.retrieval.progress import Progress, silent
from lookalike.retrieval.query import MAX_LIMIT, Moment, Query, QueryImage, parse_filter, recall_of
from lookalike.retrieval.reencode.reencode_run import ReencodeOptions, Reencoding
from lookalike.retrieval.reencode.rollback import RollbackReport, forget, roll_back
from lookalike.retrieval.results import Results
from lookalike.retrieval.search.facets import Facet, facets_of
from lookalike.retrieval.search.recall import RecallReport, measure_recall
from lookalike.retrieval.spaces.model_checks import check_vectors
from lookalike.retrieval.spaces.space import SpaceName
from lookalike.retrieval.store.field_changes import FieldsChanged
from lookalike.retrieval.store.ledger import LedgerEntry, State
from lookalike.retrieval.store.purge import PurgeReport
from lookalike.retrieval.store.stored_items import items_of_keys, stream
from lookalike.retrieval.stored_rows import Commit, StoredItem
from lookalike.retrieval.vector_index import IndexKind

if TYPE_CHECKING:
    import threading

__all__ = ["Catalog"]


class Catalog:
    """A directory of items, their vectors, and the models that made them. Safe to use from several threads.

    Any number of processes may have the same catalogue open; each sees what the others commit.

    >>> catalog = Catalog.open("shop")
    >>> catalog.search("red fruit", filter="price < 5", limit=2).keys
    ['red-apple', 'cherry']
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    # --- opening ---------------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        model: str | None = None,
        appearance: str | None = None,
        dim: int | None = None,
        metric: str = "cosine",
        device: str = "auto",
    ) -> Catalog:
        """Create a catalogue whose vectors a model makes, or with `dim` a catalogue of ready vectors, and open it.

        With `appearance`, a second model compares pictures, in a space of its own, and the first one reads words.
        `metric`, for ready vectors, is cosine, ip or l2.

        >>> vectors = Catalog.create("vectors", dim=512)
        >>> vectors.models, len(vectors)
        ('no model', 0)

        Raises:
            CatalogExists: there is something at that path.
            UsageError: both or neither of model and dim are given, or they are not valid.
            WeightsUnavailable: the model's weights are not on this machine.
        """
        folder = _folder_of(path)
        Core.create(folder, model=model, appearance=appearance, dim=dim, metric=metric)
        return cls.open(folder, device=device)

    @classmethod
    def open(cls, path: str | Path, *, device: str = "auto") -> Catalog:
        """Open a catalogue.

        `device` is where the models run, and where `search_many` searches for 32 vectors or more: "cpu", "cuda",
        "cuda:1", or "auto", which is CUDA if there is a device that the vectors fit into, and otherwise the CPU.

        >>> with Catalog.open("shop") as catalog:
        ...     print(len(catalog))
        8

        Raises:
            UsageError: this machine has no such device.
            CatalogNotFound: there is no catalogue at that path.
            CatalogFormat: a newer version wrote it.
            CatalogDamaged: its records are damaged.
            CatalogReadOnly: it cannot be written to, but must be before it can be read.
            StorageFailed: it cannot be read.
        """
        return cls(Core.open(_folder_of(path), device))

    @classmethod
    def open_or_create(
        cls,
        path: str | Path,
        *,
        model: str | None = None,
        appearance: str | None = None,
        dim: int | None = None,
        metric: str = "cosine",
        device: str = "auto",
    ) -> Catalog:
        """Open the catalogue at a path, or create it if there is none; see `create`.

        An existing catalogue must have the models, or the dimension and metric, that are asked for.

        >>> catalog = Catalog.open_or_create("shop", model="compact")
        >>> len(catalog)
        8

        Raises:
            ModelMismatch: other models made the existing catalogue.
            UsageError: the existing catalogue has another dimension or metric.
        """
        try:
            catalog = cls.open(path, device=device)
        except CatalogNotFound:
            return cls.create(path, model=model, appearance=appearance, dim=dim, metric=metric, device=device)
        try:
            catalog.check_models(model, appearance)
            if dim is not None:
                check_vectors(catalog._core.file, catalog.name, whole(dim, "dimension"), metric)
        except BaseException:
            catalog.close()
            raise
        return catalog

    def check_models(self, model: str | None = None, appearance: str | None = None) -> None:
        """Refuse models other than those that made the catalogue. "auto" and None stand for the catalogue's own.

        >>> catalog.check_models("clip")
        Traceback (most recent call last):
            ...
        lookalike.data.errors.UsageError: The catalog was made with the model compact, not clip. ...

        Raises:
            UsageError: another model made it.
            ModelMismatch: the model has other weights or another preprocessing.
        """
        self._core.check_models(model, appearance)

    def close(self) -> None:
        """Close the catalogue. Every later use of it is refused.

        >>> catalog.close()
        >>> catalog
        Catalog(The catalog was closed. Open it again with Catalog.open to continue.)
        """
        self._core.close()

    def __enter__(self) -> Catalog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        """Return the number of items.

        >>> len(catalog)
        8
        """
        return self.count()

    def __bool__(self) -> bool:
        """Return True: even an empty catalogue is true."""
        return True

    def __contains__(self, key: object) -> bool:
        """Return whether there is an item with this key.

        >>> "baseball" in catalog
        True
        """
        return isinstance(key, str | int) and bool(self.keys(key))

    def __iter__(self) -> Iterator[StoredItem]:
        """Iterate over all items; see `items`.

        >>> [item.title for item in catalog if item.fields["price"] > 50]
        ['Acoustic Guitar', 'Baseball']
        """
        return self.items()

    def __repr__(self) -> str:
        """Return the path, the number of items and the models."""
        try:
            return f"Catalog({str(self.path)!r}: {counted(self.count(), 'item')}, {self.models})"
        except Exception as error:
            return f"Catalog({error})"

    # --- properties ------------------------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The absolute path of the catalogue's folder, even after it was moved.

        >>> catalog.path.name, catalog.path.is_absolute()
        ('shop', True)
        """
        return self._core.folder

    @property
    def name(self) -> str:
        """The name of the catalogue's folder.

        >>> catalog.name
        'shop'
        """
        return self.path.name

    @property
    def models(self) -> str:
        """The names of the models that make its vectors, or "no model" for ready vectors.

        >>> catalog.models
        'compact'
        """
        return self._core.file.models

    @property
    def schema(self) -> Mapping[str, FieldType]:
        """The fields of the items and their types, in the order in which they were added.

        >>> catalog.schema["price"]
        <FieldType.FLOAT: 'float'>
        """
        return dict(self._core.records.schema())

    @property
    def reads_words(self) -> bool:
        """Whether the catalogue's model reads words, so that text queries work.

        >>> catalog.reads_words
        True
        """
        return self._core.file.reads_texts

    @property
    def reads_pictures(self) -> bool:
        """Whether the catalogue has a model, so that picture queries work.

        >>> catalog.reads_pictures
        True
        """
        return self._core.file.model is not None

    @property
    def has_appearance(self) -> bool:
        """Whether a second model compares pictures in a space of its own.

        >>> catalog.has_appearance
        False
        """
        return SpaceName.APPEARANCE in self._core.file.spaces

    @property
    def encoder(self) -> Encoder:
        """The model that reads words and, unless another one compares appearance, pictures; loaded on first use.

        >>> catalog.encoder.encode_texts(["red shoes", "a cup of coffee"]).shape
        (2, 512)

        Raises:
            ModalityUnsupported: the catalogue holds ready vectors and has no model.
            ModelMismatch: the model on this machine is not the one that made the catalogue.
            WeightsUnavailable: its weights are not on this machine.
        """
        return self._core.encoder()

    def info(self) -> CatalogInfo:
        """Return a description of the catalogue: its models, its counts and its size.

        >>> info = catalog.info()
        >>> info.items, info.vectors, info.model, info.dim
        (8, 11, 'compact', 512)
        """
        return info_of(self._core.folder, self._core.records, self._core.newest)

    def log(self, limit: int | None = None) -> list[Commit]:
        """Return the commits that are kept, newest first, each with its summary and the number of items it changed.

        >>> for commit in catalog.log():
        ...     print(commit.seq, commit.summary, commit.added)
        1 index products.csv 8
        """
        return self._core.records.commits(None if limit is None else whole(limit, "limit"))

    def ledger(
        self, *, state: State | str | None = None, feed: str | None = None, limit: int | None = None
    ) -> Iterator[LedgerEntry]:
        """Iterate over the outcomes of the rows of feeds, by feed and row, optionally of one state or one feed.

        >>> for entry in catalog.ledger(state="rejected"):
        ...     print(entry.row, entry.key, entry.reason)
        9 blue-lamp There is no such file.

        Raises:
            UsageError: `state` is not indexed, unchanged, rejected or missing, or the limit is not positive.
        """
        return self._core.records.ledger.entries(state=state, feed=feed, limit=limit)

    def ledger_counts(self, feed: str | None = None) -> dict[State, int]:
        """Count the ledger's entries by state, for one feed or for all. Rejected pictures count as rejected.

        >>> for state, count in catalog.ledger_counts().items():
        ...     print(state, count)
        indexed 8
        unchanged 0
        rejected 1
        warning 0
        missing 0
        """
        return self._core.records.ledger.counts(feed)

    def count_to_retry(self, feed: str) -> int:
        """Count the rows of a feed that `index` with `retry` would take.

        >>> catalog.count_to_retry("products.csv")
        1
        """
        return self._core.records.ledger.count_to_retry(feed)

    # --- writing ---------------------------------------------------------------------------------------------------

    def add(
        self,
        rows: Iterable[object],
        *,
        key: str | None = None,
        image: str | None = None,
        title: str | None = None,
        feed: str = "add",
        fetch: FetchSettings | None = None,
    ) -> IndexReport:
        """Insert items with pictures, which the catalogue's model encodes. Items whose keys exist are replaced.

        A row is a mapping or a dataclass. The columns of the key, the pictures and the title are found by their usual
        names (key, id, sku; image, images, photo; title, name), or named here; all others become fields. A picture is a
        path, an address, the bytes of a file, a picture that Pillow has opened, or a uint8 array [height, width, 3]. A
        row that cannot be indexed does not stop the others: it is listed in the report's `rejects` and in the ledger,
        under the name `feed`.

        >>> report = catalog.add([{"key": "apple", "image": "photo.webp", "title": "Apple", "price": 0.5}])
        >>> report.added, len(catalog)
        (1, 9)

        Raises:
            FeedError: a row is neither a mapping nor a dataclass, or no column for the key or the pictures is found.
            ModalityUnsupported: the catalogue holds ready vectors; use `add_vectors`.
            CatalogBusy: another process is indexing into the catalogue.
        """
        given = feed_of_rows(rows, name=feed, key=key, image=image, title=title)
        return IndexRun(self._core, given, partial=True, fetch=fetch).finish()

    def add_vectors(
        self,
        keys: Keys,
        vectors: ArrayLike,
        fields: Mapping[str, Column] | None = None,
        *,
        titles: str | Iterable[str | None] | None = None,
        existing: Literal["replace", "refuse"] = "replace",
    ) -> int:
        """Insert items that are ready vectors; return the commit number. Items whose keys exist are replaced.

        `vectors` is float [n, dim], and `fields` is {name: n values}, as lists or columns of NumPy, pandas, Polars or
        Arrow, in the order of `keys`. A new field takes its type from the column's dtype, or else from all its values.
        Items are written in transactions of 20,000. When this returns, all of them are on disk; if it fails, nothing of
        the current transaction is written.

        >>> vectors = Catalog.create("vectors", dim=2)
        >>> vectors.add_vectors(["a", "b"], [[1, 0], [0, 1]], {"price": [10, 20]})
        1
        >>> vectors.search(vector=[0.9, 0.1], limit=1).keys
        ['a']

        Raises:
            UsageError: lengths differ, a key is invalid or occurs twice, or a vector cannot be stored.
            FieldTypeError: a value does not fit its field's type, or a new field has values of several types.
            ItemExists: a key exists and `existing` is "refuse"; nothing is written.
        """
        if existing not in ("replace", "refuse"):
            raise UsageError(f"Existing items can be replaced or refused, not {shown(existing)}.")
        keys, columns, titles = keys_of(keys), columns_of(fields), titles_of(titles)
        records, file = self._core.records, self._core.file
        rows = checked_rows(vectors, file.spaces[SpaceName.IMAGE])
        return put_vectors(records, file, keys, rows, columns, titles, refuse=existing == "refuse")

    def update(
        self,
        keys: Keys,
        fields: Mapping[str, Column] | None = None,
        *,
        titles: str | Iterable[str | None] | None = None,
    ) -> int:
        """Change fields and titles of existing items, in one transaction; return the commit number.

        `fields` is {name: one value for each key}. Fields that are not given stay as they are; None removes a value.

        >>> catalog.update(["baseball", "cherry"], {"price": [89.0, 1.2]})
        2
        >>> catalog.get("cherry")[0].fields["price"]
        1.2

        Raises:
            UsageError: lengths differ, or a key is invalid or occurs twice.
            FieldTypeError: a value does not fit its field's type.
            ItemNotFound: no item has one of the keys; nothing is written.
        """
        keys, columns, titles = keys_of(keys), columns_of(fields), titles_of(titles)
        records, file = self._core.records, self._core.file
        vectors = None
        if titles is not None and SpaceName.TITLE in file.spaces and keys:
            vectors = self._core.models.of(file).encode_titles([title or "" for title in titles])
        return change_items(records, file, keys, columns, titles, vectors)

    def delete(self, keys: Keys | None = None, *, filter: str | None = None, params: Parameters | None = None) -> int:
        """Delete items by key, or all that satisfy a filter; return how many. `params` are the filter's values.

        >>> catalog.delete(["cherry", "baseball"])
        2
        >>> catalog.delete(filter="in_stock == false")
        1

        Raises:
            UsageError: both or neither of `keys` and `filter` are given.
            ItemNotFound: no item has one of the keys; nothing is deleted.
        """
        if (keys is None) == (filter is None):
            raise UsageError("Name what to delete: either keys, or a filter.")
        if isinstance(filter, str) and not filter.strip():
            raise UsageError("The filter is empty; name the items to delete.")
        parsed = parse_filter(filter, params)
        records = self._core.records
        if keys is not None:
            keys = keys_of(keys)
            found = records.items_of_keys(keys)
            for key in keys:
                if key not in found:
                    raise ItemNotFound(key)
            return records.delete(row.id for row in found.values()) if found else 0
        deleted = 0
        while True:  # items that another process changes meanwhile are checked again
            state = self._core.state()
            allowed = state.allowed(parsed)
            if not allowed.count:
                return deleted
            ids = state.item_ids(state.first_items(allowed, 0, allowed.count))
            deleted += records.delete(ids.tolist(), as_of=state.seq)

    def index(
        self,
        source: str | Path | Feed | Sequence[str | Path],
        *,
        restart: bool = False,
        retry: bool = False,
        sync: bool = False,
        force: bool = False,
        fetch: FetchSettings | None = None,
        **options: Unpack[FeedOptions],
    ) -> IndexRun:
        """Return a run over a feed: iterate over it to index and get reports of progress, or call its `finish`.

        `source` is a feed file (CSV, JSON Lines, Parquet), a folder or an archive of pictures, WebDataset shards, the
        folder of a Hugging Face dataset, or a `Feed`. If the iteration is broken off, what was committed stays, and the
        next run does the rest. `restart` reads every picture again, `retry` takes only the rows that were rejected,
        `sync` removes the items that the feed no longer has, and `force` does so even if they are more than half.
        `options` are the options of `open_feed`: `key`, `image`, `title`, `variants` and `base`.

        >>> catalog = Catalog.create("new-shop", model="compact")
        >>> report = catalog.index("products.csv").finish()
        >>> report.added, report.rejected, report.rejects[0].reason
        (8, 1, 'There is no such file.')

        Raises:
            FeedError: the source cannot be read, or no column for the key or the pictures is found.
            UsageError: `sync` and `retry` are given together.
            ModalityUnsupported: the catalogue holds ready vectors; use `add_vectors` or `import_parquet`.
        """
        (feed,) = self.feeds(source, **options)
        return IndexRun(
            self._core, feed, restart=restart, retry=retry, sync=sync, force=force, fetch=fetch or FetchSettings()
        )

    def dry_run(
        self,
        source: str | Path | Feed,
        *,
        restart: bool = False,
        retry: bool = False,
        sync: bool = False,
        force: bool = False,
        **options: Unpack[FeedOptions],
    ) -> DryRun:
        """Return what `index` would do, as an iterable of one change for each row. Nothing is written.

        >>> for change in catalog.dry_run("products.csv", retry=True):
        ...     print(change.action, change.key, change.reason)
        reject blue-lamp There is no such file.
        """
        (feed,) = self.feeds(source, **options)
        return DryRun(self._core, feed, restart=restart, retry=retry, sync=sync, force=force)

    def watch(
        self,
        source: str | Path,
        *,
        fetch: FetchSettings | None = None,
        stop: threading.Event | None = None,
        **options: Unpack[FeedOptions],
    ) -> Watch:
        """Return a `Watch` that keeps the catalogue in step with a source: index its `feed`, then iterate over it.

        >>> watch = catalog.watch("products.csv")
        >>> catalog.index(watch.feed).finish().unchanged
        8
        >>> for look in watch:
        ...     print(look.files, look.trouble)
        ...     break
        1 None
        """
        path = Path(source)
        return Watch(
            self._core,
            path,
            lambda: self.feeds(path, **options)[0],
            fetch=fetch or FetchSettings(),
            stop=stop,
        )

    def feeds(
        self, source: str | Path | Feed | Sequence[str | Path] | Sequence[Feed], **options: Unpack[FeedOptions]
    ) -> list[Feed]:
        """Open sources as feeds whose values have the types of the catalogue's fields; see `open_feed`.

        A folder has the name of the feed that was last read from there.

        >>> (feed,) = catalog.feeds("products.csv")
        >>> feed.count, feed.columns["price"]
        (9, 'float')
        """
        sources = [source] if isinstance(source, str | Path | Feed) else source
        feeds = [one for one in sources if isinstance(one, Feed)]
        if feeds:
            return identified(feeds, self._core.records)
        paths = [one for one in sources if not isinstance(one, Feed)]
        types = self._core.records.schema()
        opened = open_feeds([Path(path) for path in paths], types=types, **options)
        return identified(opened, self._core.records)

    # --- searching -------------------------------------------------------------------------------------------------

    def search(
        self,
        text: Texts | None = None,
        *,
        image: QueryImage | Iterable[QueryImage] | None = None,
        like: Keys | None = None,
        vector: ArrayLike | None = None,
        without: Texts | None = None,
        filter: str | None = None,
        params: Parameters | None = None,
        limit: int = 10,
        offset: int = 0,
        recall: float | str = 0.95,
        balance: float = 0.5,
        min_score: float | None = None,
        fields: Texts | None = None,
        as_of: Moment | None = None,
        appearance: float | None = None,
    ) -> Results:
        """Find the items most like the query: words, pictures, items by key, a vector, or any combination of them.

        `without` are words to avoid. `balance` is the weight of the words (0 to 1) relative to pictures. `filter` is an
        expression that every hit satisfies, and `params` are the values of its `{names}`. An empty query returns items
        in the order they were added, which is also the order of hits with equal scores. Pages of `limit` hits from
        `offset` on join into one long answer; hits that an approximate search has missed come last of all items.
        `recall` is "exact" or the share of the true best items to find; `fields` are those that hits carry, by default
        all. `as_of`, a commit's number or a time, here and in other methods, asks for the answer that would have been
        given then. In a catalogue with a second model for appearance, `appearance` is the share of the weight of
        pictures, and of items by key, that goes to it (1 by default); the rest goes to the main model. `Query` declares
        every option.

        >>> results = catalog.search("shoes", filter="price < {most}", params={"most": 10})
        >>> results.keys[0], results.total
        ('tennis-shoes', 5)
        >>> catalog.search(image="photo.webp", limit=2).keys
        ['red-apple', 'cherry']

        Raises:
            UsageError: an option is out of range, the query only has things to avoid, or there is no state as of then.
            FilterError: the filter cannot be read or does not fit the fields.
            NotAPicture: the bytes given as a picture are not one.
            ItemNotFound: no item has one of the keys in `like`.
            ModalityUnsupported: the catalogue's model cannot read part of the query.
        """
        query = Query(
            text=() if text is None else texts_of(text, "text"),
            image=() if image is None else images_of(image),
            like=() if like is None else texts_of(like, "key"),
            vector=vector,
            without=() if without is None else texts_of(without, "text to avoid"),
            filter=filter,
            params=params,
            limit=limit,
            offset=offset,
            recall=recall_of(recall),
            balance=balance,
            min_score=min_score,
            fields=None if fields is None else names_of(fields),
            as_of=as_of,
            appearance=appearance,
        )
        return self._core.search(query)

    def search_many(
        self,
        vectors: ArrayLike,
        *,
        filter: str | None = None,
        params: Parameters | None = None,
        limit: int = 10,
        recall: float | str = 0.95,
        fields: Texts | None = None,
        as_of: Moment | None = None,
    ) -> list[Results]:
        """Find the items most like each of many vectors, float [queries, dim], under one filter.

        On a GPU, with 32 vectors or more, the search is exact whatever `recall` is.

        >>> vectors = catalog.encoder.encode_texts(["fruit", "shoes"])
        >>> [results.keys for results in catalog.search_many(vectors, limit=2)]
        [['red-apple', 'cherry'], ['tennis-shoes', 'hiking-boot']]
        """
        query = Query(
            filter=filter, params=params, limit=limit, recall=recall_of(recall), fields=names_of(fields), as_of=as_of
        )
        state = self._core.state(as_of)
        queries = checked_vectors(vectors, state.file.spaces[SpaceName.IMAGE], what="query vectors")
        return self._core.searcher.search_many(state, queries, query)

    def facets(
        self,
        fields: Texts | None = None,
        *,
        filter: str | None = None,
        params: Parameters | None = None,
        limit: int = 50,
        as_of: Moment | None = None,
    ) -> list[Facet]:
        """Count the values of fields among the items that satisfy a filter.

        >>> (facet,) = catalog.facets("category", filter="price < 10")
        >>> facet.values
        (('food', 2), ('fruit', 2), ('clothing', 1))
        """
        state = self._core.state(as_of)
        allowed = state.allowed(parse_filter(filter, params))
        return facets_of(state, allowed, names_of(fields), whole(limit, "limit"))

    # --- reading ---------------------------------------------------------------------------------------------------

    def get(self, keys: Keys, *, as_of: Moment | None = None) -> list[StoredItem]:
        """Return items by key, in the order of `keys`.

        >>> (item,) = catalog.get("hiking-boot")
        >>> item.title, item.fields["price"]
        ('Hiking Boot', 13.3)

        Raises:
            ItemNotFound: no item has one of the keys.
        """
        return items_of_keys(self._core.records, keys_of(keys), self._core.commit(as_of))

    def items(
        self,
        filter: str | None = None,
        *,
        params: Parameters | None = None,
        as_of: Moment | None = None,
        batch: int = 1000,
    ) -> Iterator[StoredItem]:
        """Iterate over all items of one state, or those that satisfy a filter, in the order they were first added.

        `batch` items are in memory at a time. Changes made meanwhile are not seen.

        >>> [item.key for item in catalog.items('category == "clothing"')]
        ['hiking-boot', 'tennis-shoes']

        Raises:
            UsageError: the state was purged meanwhile, or the batch is empty.
        """
        batch = whole(batch, "batch")
        records = self._core.records
        parsed = parse_filter(filter, params)
        if parsed is None:
            return stream(records, self._core.commit(as_of) or records.version()[0], batch)
        state = self._core.state(as_of)
        allowed = state.allowed(parsed)
        ids = np.sort(state.item_ids(state.first_items(allowed, 0, allowed.count)))
        return stream(records, state.seq, batch, ids)

    def keys(self, among: Keys, *, as_of: Moment | None = None) -> list[str]:
        """Return which of the keys are in the catalogue, in their order, each once.

        >>> catalog.keys(["baseball", "unicorn"])
        ['baseball']
        """
        among = keys_of(among)
        found = self._core.records.items_of_keys(among, as_of=self._core.commit(as_of))
        return [key for key in dict.fromkeys(among) if key in found]

    def count(self, filter: str | None = None, *, params: Parameters | None = None, as_of: Moment | None = None) -> int:
        """Return the number of items, or of those that satisfy a filter.

        >>> catalog.count(), catalog.count("price < 10")
        (8, 5)
        """
        return self._core.state(as_of).allowed(parse_filter(filter, params)).count

    def thumbnail(self, image_id: str) -> Path | None:
        """Return the path of the WebP thumbnail of a hit's picture, by `Hit.image_id`, or None if there is none.

        >>> (hit,) = catalog.search("baseball", limit=1)
        >>> catalog.thumbnail(hit.image_id).suffix
        '.webp'
        """
        return self._core.thumbnails.path(image_id)

    # --- the quality of search -------------------------------------------------------------------------------------

    def evaluate(
        self, queries: str | Path | Sequence[JudgedQuery], *, limit: int = 10, progress: Progress = silent
    ) -> Evaluation:
        """Search for judged queries, and measure recall, MRR and nDCG; see `Evaluation`.

        `queries` is a CSV or JSON Lines file with text or image, optionally filter, and relevant keys.

        >>> measures = catalog.evaluate("queries.csv")
        >>> measures.queries, measures.recall_at_10
        (3, 1.0)

        Raises:
            FeedError: the file cannot be read, or a query cannot be searched.
        """
        judged = read_queries(Path(queries)) if isinstance(queries, str | Path) else queries
        return evaluated(self._core, judged, limit=whole(limit, "limit", 1, MAX_LIMIT), progress=progress)

    def measure_recall(self, *, vectors: ArrayLike | None = None, limit: int = 10) -> list[RecallReport]:
        """Compare approximate searches with exact ones, in every space that has vectors, under random filters.

        The queries are `vectors`, float [queries, dim], in the space of the pictures. Without `vectors`, they are the
        last queries of this process or, if those are few, items at random, each left out of its own answer.

        >>> for report in catalog.measure_recall():
        ...     print(report.space, min(figure.recall for figure in report.figures))
        image 1.0
        title 1.0

        Raises:
            UsageError: the vectors do not fit, or the limit is out of range.
        """
        limit = whole(limit, "limit", 1, MAX_LIMIT)
        state = self._core.state()
        space = state.file.spaces[SpaceName.IMAGE]
        given = None if vectors is None else {space.name: checked_vectors(vectors, space, what="queries")}
        return measure_recall(state, self._core.searcher.recent, given=given, limit=limit)

    def keep_queries(self, path: str | Path) -> int:
        """Keep a file of judged queries in the catalogue, to compare models on; return how many they are.

        >>> catalog.keep_queries("queries.csv")
        3
        """
        return keep_queries(Path(path), self._core.folder)

    def kept_queries(self) -> Sequence[JudgedQuery]:
        """Return the judged queries that the catalogue keeps.

        >>> catalog.keep_queries("queries.csv")
        3
        >>> [query.text for query in catalog.kept_queries()]
        ['a cup of coffee', 'shoes', 'fruit']
        """
        return kept_queries(self._core.folder)

    # --- models ----------------------------------------------------------------------------------------------------

    def reencode(
        self,
        *,
        model: str | None = None,
        appearance: str | None = None,
        feeds: Sequence[Feed] = (),
        queries: Sequence[JudgedQuery] = (),
        options: ReencodeOptions | None = None,
    ) -> Reencoding:
        """Return a change of models: iterate over it to make a second set of vectors, while search goes on, and swap.

        `model` reads words and pictures; `appearance` compares pictures in a second space ("none" removes it). Without
        either, an unfinished change is continued. The pictures are read from `feeds`, or from where the catalogue's
        feeds were last read. Both sets are compared on `queries`, or on those that the catalogue keeps.

        >>> *_, report = catalog.reencode(appearance="compact")
        >>> report.pictures, report.swapped, catalog.has_appearance
        (11, True, True)
        """
        return Reencoding(self._core, model=model, appearance=appearance, feeds=feeds, queries=queries, options=options)

    def roll_back(self) -> RollbackReport:
        """Put the models from before the last change back into use, in one transaction.

        >>> *_, report = catalog.reencode(appearance="compact")
        >>> catalog.roll_back().new
        'compact'

        Raises:
            UsageError: there are none, or another change is unfinished.
            CatalogBusy: another process is indexing into the catalogue, or optimizing it.
        """
        return roll_back(self._core)

    def forget(self) -> int:
        """Remove the vectors of all models that are not in use; return how many there were.

        >>> *_, report = catalog.reencode(appearance="compact")
        >>> report = catalog.roll_back()
        >>> catalog.forget()
        11
        """
        return sum(forget(self._core))

    # --- fields ----------------------------------------------------------------------------------------------------

    def add_field(self, name: str, kind: FieldType | str) -> int:
        """Declare a field before any item has it: string, int, float, bool, timestamp, strings or json.

        >>> catalog.add_field("weight", "float")
        2
        >>> catalog.schema["weight"]
        <FieldType.FLOAT: 'float'>

        Raises:
            UsageError: the name or the type is not valid.
            FieldTypeError: the field exists with another type.
        """
        names_of([name])
        return self._core.records.add_field(name, field_changes.kind_of(kind))

    def change_field(
        self, name: str, kind: FieldType | str, *, misfits: Literal["refuse", "null"] = "refuse"
    ) -> FieldsChanged:
        """Change the type of a field and of its values in one transaction: `change_field("price", "float")`.

        Text is read as in a CSV file; numbers, booleans and dates become text; see `data/field_conversion.py`. Earlier
        states (`as_of`) keep the type and the values that they had. See `change_fields`.

        >>> catalog.change_field("price", "string")
        FieldsChanged(commit=2, items=8, nulled=0)
        """
        return self.change_fields(retype={name: kind}, misfits=misfits)

    def rename_field(self, name: str, new_name: str) -> FieldsChanged:
        """Rename a field in one transaction; earlier states keep the old name. See `change_fields`.

        >>> catalog.rename_field("colour", "color").items
        8
        >>> catalog.count('color == "red"')
        2
        """
        return self.change_fields(rename={name: new_name})

    def drop_field(self, name: str) -> FieldsChanged:
        """Remove a field and its values, in one transaction; earlier states keep them. See `change_fields`.

        >>> catalog.drop_field("author")
        FieldsChanged(commit=2, items=8, nulled=0)
        >>> "author" in catalog.schema
        False
        """
        return self.change_fields(drop=name)

    def change_fields(
        self,
        *,
        retype: Mapping[str, FieldType | str] | None = None,
        rename: Mapping[str, str] | None = None,
        drop: Texts | None = None,
        misfits: Literal["refuse", "null"] = "refuse",
    ) -> FieldsChanged:
        """Change types, drop fields and rename fields in one transaction. Items with a value of them are rewritten.

        All three name fields as they are before the call. Renames take effect together, after drops: two fields can
        swap names, and a field can take the name of one that is dropped. A value that does not fit its new type refuses
        the whole change, or becomes null with `misfits` "null". Run `optimize` afterwards in a large catalogue:
        rewritten items are searched in memory until then.

        >>> catalog.change_fields(retype={"price": "string"}, rename={"colour": "color"}, drop="author")
        FieldsChanged(commit=2, items=8, nulled=0)

        Raises:
            UsageError: a field or type does not exist, a field is both dropped and changed, another field has or
                gets the new name, or there is nothing to change.
            FieldTypeError: values do not fit the new type; the message names some, and nothing is changed.
            CatalogBusy: another process is indexing into the catalogue.
        """
        planned = field_changes.planned(retype=retype, rename=rename, drop=drop, misfits=misfits)
        with self._core.writer():
            return self._core.records.change_fields(planned, null_misfits=misfits == "null")

    # --- maintenance -----------------------------------------------------------------------------------------------

    def optimize(self, *, index: str | None = None, retrain: bool = False) -> str:
        """Fold everything committed since the last generation into a new one; return its name.

        `index` is the kind: auto, flat, ivf_flat, ivf_sq8, ivf_pq, hnsw, nsg or disk. By default it is the kind of the
        current generation, and at first auto, which depends on the number of vectors and the machine's memory. An index
        of the same kind reuses the training of the current one while that serves, unless `retrain` is set.

        >>> generation = catalog.optimize()
        >>> catalog.info().generation == generation, catalog.info().tail
        (True, 0)

        Raises:
            UsageError: the index kind does not exist.
            CatalogBusy: another process is optimizing the catalogue.
        """
        if index is not None and index not in list(IndexKind):
            raise UsageError(f"The index is {shown(index)}; it can be {', '.join(IndexKind)}.")
        return self._core.newest.optimize(None if index is None else IndexKind(index), retrain=retrain)

    def purge(self, older_than: Moment | timedelta) -> PurgeReport:
        """Remove the history older than a moment or an age; earlier states become unreadable, and disk space is freed.

        >>> from datetime import timedelta
        >>> report = catalog.purge(timedelta(days=30))
        >>> report.oldest_commit, report.rows
        (1, 0)

        Raises:
            UsageError: it is neither a moment nor an age, or it is in the future.
            CatalogBusy: another process is optimizing the catalogue, or kept writing for too long.
        """
        return purge_history(self._core, older_than)

    def backup(self, path: str | Path, *, keep: int | None = None, progress: Progress = silent) -> BackupReport:
        """Back the catalogue up while it is in use, into a folder of backups, or one file if the path ends in `.tar`.

        In a folder, only the newest `keep` snapshots are kept; without `keep`, all of them.

        >>> report = catalog.backup("backups", keep=7)
        >>> report.snapshot.items
        8

        Raises:
            CatalogDamaged: the records cannot be read.
            CatalogBusy: another process is writing a backup there.
            StorageFailed: the backup cannot be written.
            UsageError: the path is in the catalogue, or is not a backup.
        """
        return write_backup(self._core.folder, Path(path), keep=keep, progress=progress)

    @staticmethod
    def restore(
        backup: str | Path, path: str | Path, *, snapshot: str | None = None, progress: Progress = silent
    ) -> Snapshot:
        """Create a catalogue from the newest snapshot of a backup, or the one whose name or id starts with `snapshot`.

        >>> report = catalog.backup("backups")
        >>> Catalog.restore("backups", "restored").items
        8

        Raises:
            CatalogExists: there is something at that path.
            BackupNotFound: there is no backup, or no such snapshot.
            BackupDamaged: something is missing or was changed; nothing is left at the path.
            StorageFailed: the catalogue cannot be written.
        """
        return restore(Path(backup), _folder_of(path), snapshot=snapshot, progress=progress)

    def verify(self, *, progress: Progress = silent) -> Verification:
        """Check the records, the vectors, the generation's checksums and counts, and the thumbnails; change nothing.

        >>> catalog.verify().problems
        []

        Raises:
            CatalogGone: the folder was deleted or replaced meanwhile.
        """
        folder = self._core.folder
        found = verify(folder, progress=progress)
        if self._core.folder == folder:
            return found
        return verify(self._core.folder, progress=progress)  # it was moved meanwhile

    def repair(self, *, pictures: str | Path | None = None, progress: Progress = silent) -> RepairReport:
        """Rebuild derived data, set aside damaged items, and report the problems that remain.

        Thumbnails are rebuilt from files in `pictures` that have the bytes of the pictures, whatever their names.

        >>> report = catalog.repair()
        >>> report.mended, report.left
        ([], [])

        Raises:
            CatalogBusy: another process is indexing into the catalogue or optimizing it.
        """
        return repair(self._core.folder, pictures=None if pictures is None else Path(pictures), progress=progress)

    def export(
        self,
        path: str | Path,
        *,
        filter: str | None = None,
        params: Parameters | None = None,
        vectors: bool = True,
        progress: Progress = silent,
    ) -> int:
        """Write all items, or those that satisfy a filter, to a new Parquet file; return how many.

        Without `vectors`, the file is for reading and cannot be imported.

        >>> catalog.export("in-stock.parquet", filter="in_stock == true")
        6

        Raises:
            FilterError: the filter cannot be read or does not fit the fields.
            StorageFailed: the file cannot be written.
            UsageError: there is something at that path.
        """
        return export_parquet(
            self._core.folder,
            Path(path),
            self._core.state,
            filter=filter,
            params=params,
            vectors=vectors,
            progress=progress,
        )

    def import_parquet(self, path: str | Path, *, progress: Progress = silent) -> ImportReport:
        """Insert or replace items from a Parquet file that `export` wrote, or any with keys and vectors.

        >>> catalog.export("shop.parquet")
        8
        >>> catalog.import_parquet("shop.parquet").unchanged
        8

        Raises:
            FeedError: the file cannot be read, or has no keys or no vectors.
            ModelMismatch: another model made its vectors.
            CatalogBusy: another process is indexing into the catalogue.
        """
        core = self._core
        with core.writer():
            table = open_vector_table(Path(path))
            return import_parquet(table, core.file, core.records, core.thumbnails, progress=progress)


def _folder_of(path: str | Path) -> Path:
    """Return the folder of a catalogue.

    Raises:
        UsageError: the address does not name a folder.
    """
    if str(path).startswith("milvus://"):
        raise UsageError("This version of Lookalike keeps catalogs in folders; milvus:// is not read yet.")
    return Path(path)

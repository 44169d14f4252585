"""The catalog: everything that can be done with one, as methods of one class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from lookalike.data.errors import ItemExists, ItemNotFound, UsageError
from lookalike.models import Encoder, load_encoder, local_weights
from lookalike.retrieval.arguments import Keys, columns_of, images_of, keys_of, names_of, texts_of, titles_of, whole
from lookalike.retrieval.catalog_info import info_of
from lookalike.retrieval.files.catalog_folder import CatalogFolder
from lookalike.retrieval.filters.nodes import Parameters
from lookalike.retrieval.input_checks import (
    Column,
    changes,
    checked_rows,
    checked_vector,
    checked_vectors,
    vector_writes,
    with_fields_of,
)
from lookalike.retrieval.maintenance.maintenance import Care, folder_of
from lookalike.retrieval.new_catalog import described, make
from lookalike.retrieval.query import CatalogInfo, Results, StoredItem, recall_of
from lookalike.retrieval.search.catalog_models import Encoders
from lookalike.retrieval.search.device import Device
from lookalike.retrieval.search.facets import Facet, facets_of
from lookalike.retrieval.search.newest_state import Live
from lookalike.retrieval.search.query_parts import QueryImage
from lookalike.retrieval.search.recall import RecentQueries
from lookalike.retrieval.search.searcher import Request, Searcher, parse_filter
from lookalike.retrieval.search.state import View
from lookalike.retrieval.spaces.catalog_file import CatalogFile, Made
from lookalike.retrieval.store.moments import Moment, commit_of
from lookalike.retrieval.store.records import Records
from lookalike.retrieval.store.stored_items import items_of_keys, stream
from lookalike.retrieval.stored_rows import Commit

__all__ = ["Catalog"]


class Catalog(Care):
    """A directory of items, their vectors, and what made them. Safe to use from several threads and processes."""

    def __init__(self, file: CatalogFile, records: Records, device: Device) -> None:
        self.records = records
        self.device = device
        self.encoders = Encoders(self._loaded)
        self._live = Live(records, file, self.encoders.follow)
        self._recent = RecentQueries()
        self._searcher = Searcher(records, self.encoders, device, self._recent)

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        model: str | None = None,
        looks: str | None = None,
        dim: int | None = None,
        metric: str = "cosine",
    ) -> Catalog:
        """Make a catalog whose vectors a model makes, or with `dim` one of ready vectors.

        With `looks` pictures are compared by a second model, in a space of its own, and words by the first.

        Raises:
            CatalogExists: there is something at that path.
            UsageError: both or neither of model and dim are given, or they are not valid.
            WeightsUnavailable: the model's weights are not on this machine.
        """
        folder = folder_of(path)
        spec = None if model is None else load_encoder(model).spec
        file = described(spec, dim, metric, weights=None if model is None else local_weights(model))
        if looks is not None:
            if spec is None:
                raise UsageError("A second model is for the looks of pictures; ready vectors have none.")
            file = file.with_looks(load_encoder(looks).spec, local_weights(looks))
        make(folder, file)
        return cls.open(folder)

    @classmethod
    def open(cls, path: str | Path, *, device: str = "auto") -> Catalog:
        """Open a catalog.

        `device` is where the model runs, and where `search_many` looks for 32 vectors or more: "cpu", "cuda",
        "cuda:1", or "auto", which is CUDA where there is one that the vectors fit into, else the CPU.

        Raises:
            UsageError: this machine has no such device.
            CatalogNotFound: there is none.
            CatalogFormat: a newer version wrote it.
            CatalogDamaged: its records cannot be trusted.
            CatalogReadOnly: it cannot be written to, and has to be before it can be read.
            StorageFailed: it cannot be read.
        """
        chosen, folder = Device(device), CatalogFolder.open(folder_of(path))
        file = CatalogFile.read(folder.path)
        return cls(file, Records.open(folder.records, folder), chosen)

    def close(self) -> None:
        """Close the records; every later use of the catalog is refused."""
        self.records.close()
        self.records.folder.close()
        self._live.close()

    def __enter__(self) -> Catalog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def encoder(self) -> Encoder:
        """The model that made the catalog, loaded at first use.

        Raises:
            ModalityUnsupported: the catalog holds ready vectors and has no model.
            ModelMismatch: the model on this machine is not the one that made the catalog.
            WeightsUnavailable: its weights are not on this machine.
        """
        return self.encoders.of(self.file)

    def made_by(self, model: str) -> Made:
        """Load a model by its name and say what its vectors are made as.

        Raises:
            UsageError: no model is called that.
            WeightsUnavailable: its weights are not on this machine.
        """
        encoder = load_encoder(model, device=self.device.name)
        self.encoders.add(encoder)
        return Made.by(encoder.spec, local_weights(model))

    def _loaded(self, made: Made) -> Encoder:
        sha256 = made.facts["weights_sha256"]
        return load_encoder(made.name, device=self.device.name, weights=made.weights, sha256=sha256)

    # --- writing ---------------------------------------------------------------------------------------------------

    def add_vectors(
        self,
        keys: Keys,
        vectors: ArrayLike,
        fields: Mapping[str, Column] | None = None,
        *,
        titles: str | Iterable[str | None] | None = None,
        existing: Literal["replace", "refuse"] = "replace",
    ) -> int:
        """Insert items that are ready vectors; return the commit number. Those of keys that exist are replaced.

        `vectors` is float [n, dim], `fields` {name: n values}: lists, or columns of NumPy, pandas, Polars or Arrow, by
        position. A new field has the type of its dtype, or of all its values. Written in transactions of 20,000 items:
        when this returns, all of them are on disk; if it fails, none of the transaction at hand is.

        Raises:
            UsageError: lengths differ, a key is bad or occurs twice, a vector cannot be stored.
            FieldTypeError: a value does not fit its field's type, or those of a new field are of several types.
            ItemExists: a key exists and `existing` is "refuse"; nothing is written.
        """
        if existing not in ("replace", "refuse"):
            raise UsageError(f"Existing items can be replaced or refused, not {existing!r}.")
        keys, columns, titles = keys_of(keys), columns_of(fields), titles_of(titles)
        file = self.file
        space = file.spaces["image"]
        rows = checked_rows(vectors, space)
        schema = with_fields_of(self.records.schema(), columns, columns.kinds)
        refuse = existing == "refuse"
        if refuse and (there := self.records.items_of_keys(keys)):
            raise ItemExists(next(key for key in keys if key in there))
        seq = self.records.version()[0]
        for writes in vector_writes(keys, rows, columns, titles, schema, space):
            seq = self.records.put_vectors(writes, schema=schema, refuse=refuse, stored=file.stored)
        return seq

    def update(
        self,
        keys: Keys,
        fields: Mapping[str, Column] | None = None,
        *,
        titles: str | Iterable[str | None] | None = None,
    ) -> int:
        """Change fields and titles of items that are there, in one transaction; return the commit number.

        `fields` is {name: one value a key}; fields that are not given stay, None takes a value away.

        Raises:
            UsageError: lengths differ, a key is bad or occurs twice.
            FieldTypeError: a value does not fit its field's type.
            ItemNotFound: a key is not there; nothing is written.
        """
        keys, columns, titles = keys_of(keys), columns_of(fields), titles_of(titles)
        schema = with_fields_of(self.records.schema(), columns, columns.kinds)
        vectors, file = None, self.file
        if titles is not None and "title" in file.spaces and keys:
            vectors = self.encoders.of(file).encode_titles([title or "" for title in titles])
        changed = changes(keys, columns, titles, vectors, schema)
        return self.records.update(changed, schema=schema, stored=file.stored)

    def delete(
        self,
        *,
        keys: Keys | None = None,
        filter: str | None = None,
        params: Parameters | None = None,
    ) -> int:
        """Delete items by key, or all that satisfy a filter; return how many. `params` are the filter's values.

        Raises:
            UsageError: both or neither are given.
            ItemNotFound: a key is not there; nothing is deleted.
        """
        if (keys is None) == (filter is None):
            raise UsageError("Say what to delete: either keys, or a filter.")
        if isinstance(filter, str) and not filter.strip():
            raise UsageError("The filter is empty; say which items to delete.")
        parsed = parse_filter(filter, params)
        if keys is not None:
            keys = keys_of(keys)
            found = self.records.items_of_keys(keys)
            for key in keys:
                if key not in found:
                    raise ItemNotFound(key)
            return self.records.delete(row.id for row in found.values()) if found else 0
        deleted = 0
        while True:  # what another process changes meanwhile is looked at again
            view = self._live.view()
            allowed = view.allowed(parsed)
            if not allowed.count:
                return deleted
            ids = view.item_ids(view.first_items(allowed, 0, allowed.count))
            deleted += self.records.delete(ids.tolist(), as_of=view.seq)

    # --- reading ---------------------------------------------------------------------------------------------------

    def search(
        self,
        *,
        text: str | Iterable[str] | None = None,
        image: QueryImage | Iterable[QueryImage] | None = None,
        like: Keys | None = None,
        vector: ArrayLike | None = None,
        without: str | Iterable[str] | None = None,
        filter: str | None = None,
        params: Parameters | None = None,
        limit: int = 10,
        offset: int = 0,
        recall: float | str = 0.95,
        balance: float = 0.5,
        min_score: float | None = None,
        fields: str | Iterable[str] | None = None,
        as_of: Moment | None = None,
        looks: float | None = None,
    ) -> Results:
        """Find the items most like what is given: words, pictures, items by key, a vector, any of them together.

        `without` are words to keep away from, `balance` is the share of the words (0 to 1) beside pictures, `filter` an
        expression that every hit satisfies, `params` the values of its `{names}`. With nothing to be like, items come
        in the order they were added, as those of equal scores do. Pages of `limit` hits from `offset` on, joined, are
        one big answer; what an approximate search has missed comes last of all items. `recall` is "exact" or
        the share of the true best that should be found; `fields` are those that hits carry, by default all. `as_of`, a
        commit's number or a time, here and below, asks for the answer that would have been given then. In a catalog
        with a space for looks `looks` is the share of a picture's weight, and of an item's by key, that goes there (1
        by default), the rest to the main model's.

        Raises:
            UsageError: an option is out of range, there is only something to keep away from, or no state as of then.
            FilterError: the filter cannot be read or does not fit the fields.
            NotAPicture: a picture is none.
            ItemNotFound: a key of `like` is not there.
            ModalityUnsupported: the catalog's model does not read what is given.
        """
        nothing_else = text is None and image is None and like is None and without is None and params is None
        unchanged = min_score is None and as_of is None and looks is None
        plain = type(offset) is int and offset == 0 and type(balance) is float and balance == 0.5
        if vector is not None and nothing_else and unchanged and plain:
            names = names_of(fields)
            return self._searcher.by_vector(self._live.view(), vector, filter, limit, recall_of(recall), names)
        view = self._view(as_of)
        space = view.file.spaces["image"]
        request = Request(
            texts=texts_of(text, "text"),
            images=images_of(image),
            keys=texts_of(like, "key"),
            vectors=None if vector is None else checked_vector(vector, space),
            without=texts_of(without, "text to keep away from"),
            filter=parse_filter(filter, params),
            limit=limit,
            offset=offset,
            recall=recall_of(recall),
            balance=balance,
            min_score=min_score,
            fields=names_of(fields),
            looks=looks,
        )
        return self._searcher.search(view, request)

    def search_many(
        self,
        vectors: ArrayLike,
        *,
        filter: str | None = None,
        limit: int = 10,
        recall: float | str = 0.95,
        fields: str | Iterable[str] | None = None,
        as_of: Moment | None = None,
    ) -> list[Results]:
        """Find the items most like each of many vectors, float [queries, dim], under one filter.

        On a GPU, for 32 or more, the search is exact whatever `recall` is.
        """
        view = self._view(as_of)
        queries = checked_vectors(vectors, view.file.spaces["image"], what="query vectors")
        request = Request(
            vectors=queries,
            filter=parse_filter(filter),
            limit=limit,
            recall=recall_of(recall),
            fields=names_of(fields),
        )
        return self._searcher.search_many(view, request)

    def get(self, keys: Keys, *, as_of: Moment | None = None) -> list[StoredItem]:
        """Return items by key, in the order asked for.

        Raises:
            ItemNotFound: a key is not there.
        """
        return items_of_keys(self.records, keys_of(keys), self._seq(as_of))

    def items(
        self, filter: str | None = None, *, as_of: Moment | None = None, batch: int = 1000
    ) -> Iterator[StoredItem]:
        """Iterate over all items, or those that satisfy a filter, of one state, in the order they were first added.

        `batch` items are in memory at a time; what is written meanwhile is not seen.

        Raises:
            UsageError: that state was purged meanwhile, or the batch is empty.
        """
        batch = whole(batch, "batch")
        if filter is None:
            return stream(self.records, self._seq(as_of) or self.records.version()[0], batch)
        view = self._view(as_of)
        allowed = view.allowed(parse_filter(filter))
        ids = np.sort(view.item_ids(view.first_items(allowed, 0, allowed.count)))
        return stream(self.records, view.seq, batch, ids)

    def keys(self, among: Keys, *, as_of: Moment | None = None) -> list[str]:
        """Return those of some keys that are in the catalog, in their order, each once."""
        among = keys_of(among)
        found = self.records.items_of_keys(among, as_of=self._seq(as_of))
        return [key for key in dict.fromkeys(among) if key in found]

    def count(self, *, filter: str | None = None, as_of: Moment | None = None) -> int:
        """Return how many items there are, or how many satisfy a filter."""
        return self._view(as_of).allowed(parse_filter(filter)).count

    def facets(
        self,
        fields: str | Iterable[str] | None = None,
        *,
        filter: str | None = None,
        limit: int = 50,
        as_of: Moment | None = None,
    ) -> list[Facet]:
        """Count the values of fields among the items that satisfy a filter."""
        view = self._view(as_of)
        return facets_of(view, view.allowed(parse_filter(filter)), names_of(fields), whole(limit, "limit"))

    def log(self, limit: int | None = None) -> list[Commit]:
        """Return the commits that are kept, newest first: what each was, and how many items it changed."""
        return self.records.commits(None if limit is None else whole(limit, "limit"))

    def info(self) -> CatalogInfo:
        """Say what the catalog is and how much it holds."""
        return info_of(self._folder, self.records, self._live)

    def _seq(self, as_of: Moment | None) -> int | None:
        return None if as_of is None else commit_of(self.records, as_of)

    def _view(self, as_of: Moment | None) -> View:
        return self._live.view() if as_of is None else self._live.view_as_of(commit_of(self.records, as_of))

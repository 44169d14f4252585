"""The catalog: everything that can be done with one, as methods of one class."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import orjson
from numpy.typing import ArrayLike, NDArray

from data.errors import ItemNotFound, ModalityUnsupported, UsageError
from data.item import Value
from models import Encoder, load_encoder
from retrieval.care import Care, folder_of
from retrieval.catalog_file import CatalogFile
from retrieval.creation import make_catalog
from retrieval.facets import Facet, facets_of
from retrieval.filters.nodes import Parameters
from retrieval.live import Live
from retrieval.parts import QueryImage, many
from retrieval.query import CatalogInfo, Results, StoredItem, recall_of
from retrieval.records import Records
from retrieval.searching import Request, Searcher, parse_filter
from retrieval.thumbnails import Thumbnails
from retrieval.vector_index import IndexKind, Metric
from retrieval.writing import checked_vectors, vector_writes, with_fields_of

__all__ = ["Catalog"]

_RECORDS = "records.sqlite"
_WRITE_ROWS = 20_000


class Catalog(Care):
    """A directory of items, their vectors, and what made them. Safe to use from several threads and processes."""

    def __init__(self, folder: Path, file: CatalogFile, records: Records) -> None:
        self.name = folder.resolve().name
        self.file = file
        self.records = records
        self.thumbnails = Thumbnails(folder / "thumbnails")
        self._folder = folder
        self._live = Live(folder, records, file.spaces)
        self._encoder: Encoder | None = None
        self._lock = threading.Lock()
        self._searcher = Searcher(records, file.spaces, lambda: self.encoder)

    @classmethod
    def create(
        cls, path: str | Path, *, model: str | None = None, dim: int | None = None, metric: str = "cosine"
    ) -> Catalog:
        """Make a catalog whose vectors a model makes, or with `dim` one of ready vectors.

        Raises:
            CatalogExists: there is something at that path.
            UsageError: both or neither of model and dim are given, or they are not valid.
        """
        folder = folder_of(path)
        if (model is None) == (dim is None):
            raise UsageError("Give either a model, or the dimension of ready vectors.")
        if model is not None:
            file = CatalogFile.for_model(load_encoder(model).spec)
        else:
            if not isinstance(dim, int) or not 1 <= dim <= 65_536:
                raise UsageError(f"The dimension is {dim!r}; give a whole number from 1 to 65536.")
            if metric not in list(Metric):
                raise UsageError(f"The metric is {metric!r}; it can be {', '.join(Metric)}.")
            file = CatalogFile.for_vectors(dim, Metric(metric))
        make_catalog(folder, file)
        return cls.open(folder)

    @classmethod
    def open(cls, path: str | Path) -> Catalog:
        """Open a catalog.

        Raises:
            CatalogNotFound: there is none.
            CatalogFormat: a newer version wrote it.
            CatalogDamaged: its records cannot be trusted.
        """
        folder = folder_of(path)
        return cls(folder, CatalogFile.read(folder), Records.open(folder / _RECORDS))

    def close(self) -> None:
        """Close the records; the catalog cannot be used afterwards."""
        self.records.close()

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
        """
        with self._lock:
            if self._encoder is None:
                if self.file.model is None:
                    raise ModalityUnsupported(
                        "This catalog holds ready vectors and has no model to read words or pictures; "
                        "search it by vector or by key."
                    )
                encoder = load_encoder(self.file.model["name"])
                self.file.check(encoder.spec)
                self._encoder = encoder
            return self._encoder

    # --- writing ---------------------------------------------------------------------------------------------------

    def add_vectors(
        self,
        keys: Sequence[str],
        vectors: ArrayLike,
        fields: Mapping[str, Sequence[Value] | NDArray[np.generic]] | None = None,
        *,
        titles: Sequence[str | None] | None = None,
    ) -> int:
        """Insert items that are ready vectors, or replace those of the same keys; return the commit number.

        `vectors` is float [n, dim], `fields` {name: n values}. Written in transactions of 20,000 items: when this
        returns, all of them are on disk; if it fails, none of the transaction at hand is.

        Raises:
            UsageError: lengths differ, a key is bad or occurs twice, a vector cannot be stored.
            FieldTypeError: a value does not fit its field's type.
        """
        keys = [str(key) for key in keys]
        rows = checked_vectors(vectors, self.file.spaces["image"])
        schema = with_fields_of(self.records.schema(), fields or {})
        writes = list(vector_writes(keys, rows, fields or {}, titles, schema))
        seq = self.records.version()[0]
        for start in range(0, len(writes), _WRITE_ROWS):
            seq = self.records.upsert(writes[start : start + _WRITE_ROWS], schema=schema, summary="add vectors")
        return seq

    def delete(
        self,
        *,
        keys: Sequence[str] | None = None,
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
        if filter is not None and not filter.strip():
            raise UsageError("The filter is empty; say which items to delete.")
        if keys is not None:
            found = self.records.items_of_keys(keys)
            for key in keys:
                if key not in found:
                    raise ItemNotFound(key)
            return self.records.delete(row.id for row in found.values()) if found else 0
        deleted = 0
        while True:  # what another process changes meanwhile is looked at again
            view = self._live.view()
            allowed = view.allowed(parse_filter(filter, params))
            if not allowed.count:
                return deleted
            ids = view.item_ids(view.first_items(allowed, 0, allowed.count))
            deleted += self.records.delete(ids.tolist(), as_of=view.seq)

    def optimize(self, *, index: str | None = None) -> str:
        """Fold what was committed since into a new generation; return its name.

        `index` is the kind: auto, flat, ivf_pq or hnsw; without it that of the generation before, at first auto.

        Raises:
            UsageError: no index kind is called that.
            CatalogBusy: another process is doing so.
        """
        if index is not None and index not in list(IndexKind):
            raise UsageError(f"The index is {index!r}; it can be {', '.join(IndexKind)}.")
        return self._live.optimize(None if index is None else IndexKind(index))

    # --- reading ---------------------------------------------------------------------------------------------------

    def search(
        self,
        *,
        text: str | Sequence[str] | None = None,
        image: QueryImage | Sequence[QueryImage] | None = None,
        like: str | Sequence[str] | None = None,
        vector: ArrayLike | None = None,
        without: str | Sequence[str] | None = None,
        filter: str | None = None,
        params: Parameters | None = None,
        limit: int = 10,
        offset: int = 0,
        recall: float | str = 0.95,
        balance: float = 0.5,
        min_score: float | None = None,
    ) -> Results:
        """Find the items most like what is given: words, pictures, items by key, a vector, any of them together.

        `without` are words to keep away from, `balance` is the share of the words (0 to 1) beside pictures, `filter`
        an expression that every hit satisfies, `params` the values of its `{names}`. With nothing to be like, items
        come in the order they were added. `recall` is "exact" or the share of the true best that should be found.

        Raises:
            UsageError: an option is out of range, or there is only something to keep away from.
            FilterError: the filter cannot be read or does not fit the fields.
            NotAPicture: a picture is none.
            ItemNotFound: a key of `like` is not there.
            ModalityUnsupported: the catalog's model does not read what is given.
        """
        request = Request(
            texts=[str(one) for one in many(text)],
            images=many(image),  # type: ignore[arg-type]
            keys=[str(one) for one in many(like)],
            vectors=None if vector is None else checked_vectors(vector, self.file.spaces["image"], what="query vector"),
            without=[str(one) for one in many(without)],
            filter=parse_filter(filter, params),
            limit=limit,
            offset=offset,
            recall=recall_of(recall),
            balance=balance,
            min_score=min_score,
        )
        return self._searcher.search(self._live.view(), request)

    def search_many(
        self, vectors: ArrayLike, *, filter: str | None = None, limit: int = 10, recall: float | str = 0.95
    ) -> list[Results]:
        """Find the items most like each of many vectors, float [queries, dim], under one filter."""
        queries = checked_vectors(vectors, self.file.spaces["image"], what="query vectors")
        request = Request(vectors=queries, filter=parse_filter(filter), limit=limit, recall=recall_of(recall))
        return self._searcher.search_many(self._live.view(), request)

    def get(self, keys: Sequence[str]) -> list[StoredItem]:
        """Return items by key, in the order asked for.

        Raises:
            ItemNotFound: a key is not there.
        """
        rows = self.records.items_of_keys(keys)
        schema = self.records.schema()
        images = self.records.images([row.id for row in rows.values()])
        items = []
        for key in keys:
            if key not in rows:
                raise ItemNotFound(key)
            stored = orjson.loads(rows[key].fields)
            fields = {name: schema.restore(name, stored.get(name)) for name in schema}
            items.append(StoredItem(key, rows[key].title, fields, tuple(images.get(rows[key].id, ()))))
        return items

    def keys(self, among: Sequence[str]) -> list[str]:
        """Return those of some keys that are in the catalog."""
        return list(self.records.items_of_keys(among))

    def count(self, *, filter: str | None = None) -> int:
        """Return how many items there are, or how many satisfy a filter."""
        return self._live.view().allowed(parse_filter(filter)).count

    def facets(self, fields: Sequence[str] | None = None, *, filter: str | None = None, limit: int = 50) -> list[Facet]:
        """Count the values of fields among the items that satisfy a filter."""
        view = self._live.view()
        return facets_of(view, view.allowed(parse_filter(filter)), fields, limit)

    def info(self) -> CatalogInfo:
        """Say what the catalog is and how much it holds."""
        view = self._live.view()
        space = self.file.spaces["image"]
        counts = self.records.count_vectors()
        files = (path for path in self._folder.rglob("*") if path.is_file())
        return CatalogInfo(
            items=view.everything.count,
            vectors=counts.get("image", 0),
            model=None if self.file.model is None else self.file.model["name"],
            dim=space.dim,
            metric=space.metric.value,
            generation=self._live.generation,
            tail=view.tail_count if self._live.generation else view.everything.count,
            bytes_on_disk=sum(path.stat().st_size for path in files),
            spaces={name: counts.get(name, 0) for name in self.file.spaces},
            fields=view.schema.to_json(),
            rejected=len(self.records.rejects()),
        )

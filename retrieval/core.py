"""The shared parts of one open catalogue: its folder, its records, its models and its searcher.

`Catalog` is the public face of a `Core`. Indexing, changes of models, evaluation and maintenance use a `Core`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from lookalike.data.catalog_layout import FETCHED, INDEX_LOCK, THUMBNAILS
from lookalike.data.errors import UsageError
from lookalike.models import Encoder, load_encoder, local_weights
from lookalike.retrieval.files.catalog_folder import CatalogFolder
from lookalike.retrieval.files.forks import needs_threads
from lookalike.retrieval.files.storage import locked
from lookalike.retrieval.files.thumbnails import Thumbnails
from lookalike.retrieval.new_catalog import described, make
from lookalike.retrieval.query import Moment, Query
from lookalike.retrieval.results import Results
from lookalike.retrieval.search.catalog_models import CatalogModels
from lookalike.retrieval.search.device import Device
from lookalike.retrieval.search.newest_state import NewestState
from lookalike.retrieval.search.searcher import Searcher
from lookalike.retrieval.search.segmented_state import SegmentedState
from lookalike.retrieval.spaces.catalog_file import CatalogFile, ModelIdentity
from lookalike.retrieval.spaces.model_checks import check_models
from lookalike.retrieval.spaces.space_sets import SpaceSets
from lookalike.retrieval.store.moments import commit_of
from lookalike.retrieval.store.records import Records

__all__ = ["Core"]


class Core:
    """An open catalogue. Safe to use from several threads and processes."""

    def __init__(self, file: CatalogFile, records: Records, device: Device) -> None:
        self.records = records
        self.device = device
        self.models = CatalogModels(self._load)
        self.newest = NewestState(records, file, self.models.follow)
        self.searcher = Searcher(records, self.models, device)

    @staticmethod
    def create(path: Path, *, model: str | None, appearance: str | None, dim: int | None, metric: str) -> None:
        """Create an empty catalogue; see `Catalog.create`."""
        spec = None if model is None else load_encoder(model).spec
        file = described(spec, dim, metric, weights=None if model is None else local_weights(model))
        if appearance is not None:
            if spec is None:
                raise UsageError("A model for appearance compares pictures; a catalogue of ready vectors has none.")
            file = file.with_looks(load_encoder(appearance).spec, local_weights(appearance))
        make(path, file)

    def check_models(self, model: str | None, appearance: str | None) -> None:
        """Refuse models other than those that made the catalogue; see `Catalog.check_models`."""
        check_models(self.file, self.folder.name, model, appearance, load_encoder)

    @classmethod
    def open(cls, path: Path, device: str = "auto") -> Core:
        """Open the catalogue at a path; see `Catalog.open`."""
        chosen, folder = Device(device), CatalogFolder.open(path)
        file = CatalogFile.read(folder.path)
        return cls(file, Records.open(folder.records, folder), chosen)

    def close(self) -> None:
        """Close the records. Every later use is refused."""
        self.records.close()
        self.records.folder.close()
        self.newest.close()

    @property
    def folder(self) -> Path:
        """The current path of the folder; see `CatalogFolder.path`."""
        return self.records.folder.path

    @property
    def thumbnails(self) -> Thumbnails:
        """The small pictures for screens."""
        return Thumbnails(self.folder / THUMBNAILS)

    @property
    def fetched_folder(self) -> Path:
        """The folder of pictures that were fetched from the web."""
        return self.folder / FETCHED

    @property
    def file(self) -> CatalogFile:
        """The spaces in use and the models that make their vectors, including changes by other processes."""
        return self.newest.sets().active

    @property
    def sets(self) -> SpaceSets:
        """The set of spaces in use, the one being made beside it, and the one before."""
        return self.newest.sets()

    def encoder(self, space: str = "image") -> Encoder:
        """Return the model that makes the vectors of a space; see `CatalogModels.of`."""
        return self.models.of(self.file, space)

    def identity_of(self, model: str) -> ModelIdentity:
        """Load a model by its name and return its identity.

        Raises:
            UsageError: no model has this name.
            WeightsUnavailable: its weights are not on this machine.
        """
        encoder = load_encoder(model, device=self.device.name)
        self.models.add(encoder)
        return ModelIdentity.by(encoder.spec, local_weights(model))

    def state(self, as_of: Moment | None = None) -> SegmentedState:
        """Return the newest state, or the state that was the newest at `as_of`."""
        return self.newest.state() if as_of is None else self.newest.state_as_of(commit_of(self.records, as_of))

    def commit(self, as_of: Moment | None) -> int | None:
        """Return the number of the commit that was the newest at `as_of`, or None for None."""
        return None if as_of is None else commit_of(self.records, as_of)

    def search(self, query: Query) -> Results:
        """Search the state that the query asks for."""
        return self.searcher.search(self.state(query.as_of), query)

    def search_by(self, file: CatalogFile) -> Callable[[Query], Results]:
        """Return a function that searches the current state with the models of another set of spaces."""
        return partial(self.searcher.search, self.newest.state_by(file))

    def sample_keys(self, count: int) -> list[str]:
        """Return the keys of up to `count` items, spread evenly over all in the order they were added."""
        state = self.state()
        places = state.first_items(state.everything, 0, state.everything.count)
        chosen = np.unique(np.linspace(0, len(places) - 1, min(count, len(places))).astype(np.int64))
        return state.rows(places[chosen], ["title"])[0] if len(places) else []

    @contextmanager
    def writer(self) -> Iterator[None]:
        """Hold the lock for indexing into the catalogue, which one process has at a time.

        Raises:
            CatalogBusy: another process has it.
            CatalogReadOnly: the catalogue's folder cannot be written to.
            UsageError: this process is the child of one that has searched.
        """
        needs_threads()
        with locked(self.folder / INDEX_LOCK, "indexing into"):
            yield

    def _load(self, identity: ModelIdentity) -> Encoder:
        sha256 = identity.facts["weights_sha256"]
        return load_encoder(identity.name, device=self.device.name, weights=identity.weights, sha256=sha256)

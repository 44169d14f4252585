"""What looks after a catalog, as methods of one: back it up, check it, mend it, carry it over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from lookalike.data.errors import CatalogBusy, UsageError
from lookalike.data.field_type import FieldType
from lookalike.retrieval.arguments import mapping_of, names_of, whole
from lookalike.retrieval.evaluation.judged_queries import JudgedQuery, keep_queries, kept_queries
from lookalike.retrieval.files import forks
from lookalike.retrieval.files.storage import locked
from lookalike.retrieval.files.thumbnails import Thumbnails
from lookalike.retrieval.filters.nodes import Parameters
from lookalike.retrieval.input_checks import checked_vectors
from lookalike.retrieval.maintenance.backup import BackupReport, Snapshot, restore, write_backup
from lookalike.retrieval.maintenance.parquet_export import export_parquet
from lookalike.retrieval.maintenance.parquet_import import ImportReport, import_parquet, open_vector_table
from lookalike.retrieval.maintenance.repair import RepairReport, repair
from lookalike.retrieval.maintenance.verification import Verification, verify
from lookalike.retrieval.progress import Progress, silent
from lookalike.retrieval.query import MAX_LIMIT, Results
from lookalike.retrieval.search.newest_state import Live
from lookalike.retrieval.search.recall import RecallReport, RecentQueries, measure_recall
from lookalike.retrieval.search.searcher import Request, Searcher
from lookalike.retrieval.spaces.catalog_file import CatalogFile
from lookalike.retrieval.spaces.space_sets import SpaceSets
from lookalike.retrieval.store.field_changes import FieldChange, FieldsChanged
from lookalike.retrieval.store.ledger import LedgerEntry, State
from lookalike.retrieval.store.moments import Moment, oldest_to_keep
from lookalike.retrieval.store.purge import PurgeReport, purge
from lookalike.retrieval.store.records import Records
from lookalike.retrieval.vector_index import IndexKind

__all__ = ["Care", "folder_of"]


class Care:
    """The part of a `Catalog` that looks after its files rather than after its items."""

    records: Records
    _live: Live
    _recent: RecentQueries
    _searcher: Searcher

    @property
    def _folder(self) -> Path:
        """The folder where it lies now; see `CatalogFolder.path`."""
        return self.records.folder.path

    @property
    def name(self) -> str:
        """The name of the catalog's folder."""
        return self._folder.name

    @property
    def thumbnails(self) -> Thumbnails:
        """The small pictures for screens."""
        return Thumbnails(self._folder / "thumbnails")

    @property
    def fetched_folder(self) -> Path:
        """The folder of pictures that were fetched from the web."""
        return self._folder / "fetched"

    @property
    def file(self) -> CatalogFile:
        """The spaces in use and what makes their vectors; a change by any process is in what is next asked for."""
        return self._live.sets().active

    @property
    def sets(self) -> SpaceSets:
        """The set of spaces in use, the one that is being made beside it, and the one before."""
        return self._live.sets()

    def answer(self, request: Request) -> Results:
        """Answer a request; `Catalog.search` makes one of its arguments."""
        return self._searcher.search(self._live.view(), request)

    def answering(self, file: CatalogFile) -> Callable[[Request], Results]:
        """Return a function that answers requests on the present state with the models of another of the sets."""
        return partial(self._searcher.search, self._live.view_of(file))

    def sample_keys(self, count: int) -> list[str]:
        """Return the keys of up to so many items, spread over all in the order they were added."""
        count, view = whole(count, "number of keys", 0), self._live.view()
        places = view.first_items(view.everything, 0, view.everything.count)
        chosen = np.unique(np.linspace(0, len(places) - 1, min(count, len(places))).astype(np.int64))
        return view.rows(places[chosen], ["title"])[0] if len(places) else []

    def change_sets(self, new: SpaceSets, unless: Callable[[], str | None] = lambda: None) -> str | None:
        """Put other sets of spaces in use, in one transaction; see `Live.change_sets`."""
        return self._live.change_sets(new, unless)

    def keep_queries(self, path: str | Path) -> int:
        """Keep a file of judged queries, to compare models on; see `judged_queries`."""
        return keep_queries(Path(path), self._folder)

    def kept_queries(self) -> Sequence[JudgedQuery]:
        """Return the judged queries that are kept."""
        return kept_queries(self._folder)

    @contextmanager
    def writer(self) -> Iterator[None]:
        """Hold the right to index into the catalog, which one process has at a time.

        Raises:
            CatalogBusy: another process has it.
            CatalogReadOnly: the catalog's folder cannot be written to.
            UsageError: this process is the child of one that has searched.
        """
        forks.needs_threads()
        with locked(self._folder / "index.lock", "indexing into"):
            yield

    def ledger(
        self, *, state: State | str | None = None, feed: str | None = None, limit: int | None = None
    ) -> Iterator[LedgerEntry]:
        """Iterate over what became of the rows of feeds, by feed and row: all, or those in a state, or of one feed.

        Raises:
            UsageError: there is no such state (indexed, unchanged, rejected, missing), or the limit is not positive.
        """
        return self.records.ledger.entries(state=state, feed=feed, limit=limit)

    def measure_recall(self, *, vectors: ArrayLike | None = None, limit: int = 10) -> list[RecallReport]:
        """Compare approximate searches with exact ones, in every space that has vectors, under random filters.

        The queries are `vectors`, float [queries, dim], in the space of the pictures; without them the last that this
        process searched for, or where those are few, items at random, each left out of its own answer.

        Raises:
            UsageError: the vectors do not fit, or the limit is out of range.
        """
        limit = whole(limit, "limit", 1, MAX_LIMIT)
        view = self._live.view()
        space = view.file.spaces["image"]
        given = None if vectors is None else {"image": checked_vectors(vectors, space, what="queries")}
        return measure_recall(view, self._recent, given=given, limit=limit)

    def optimize(self, *, index: str | None = None, retrain: bool = False) -> str:
        """Fold what was committed since into a new generation; return its name.

        `index` is the kind: auto, flat, ivf_flat, ivf_sq8, ivf_pq, hnsw, nsg or disk; without it that of the generation
        before, at first auto, which goes by the number of vectors and the memory of the machine. An index of the same
        kind goes by what the one before has learned while that serves, unless it is to `retrain`.

        Raises:
            UsageError: no index kind is called that.
            CatalogBusy: another process is doing so.
        """
        if index is not None and index not in list(IndexKind):
            raise UsageError(f"The index is {index!r}; it can be {', '.join(IndexKind)}.")
        return self._live.optimize(None if index is None else IndexKind(index), retrain=retrain)

    def purge(self, older_than: Moment | timedelta) -> PurgeReport:
        """Remove the history older than a moment or an age, so that no earlier state can be read; give the room back.

        Raises:
            UsageError: it is neither, or it is in the future.
            CatalogBusy: another process is optimizing the catalog, or kept writing for too long.
        """
        before = oldest_to_keep(self.records, older_than)
        if self._live.view().segments[0].seq < before and self._live.generation:
            self._live.optimize()  # a generation is brought up to date by what happened since, which is about to go
        with ExitStack() as stack:
            try:
                stack.enter_context(self.writer())
                thumbnails: Thumbnails | None = self.thumbnails
            except CatalogBusy:
                thumbnails = None  # a thumbnail that looks unused may be of an item not yet written
            return purge(self.records, thumbnails, before)

    def add_field(self, name: str, kind: FieldType | str) -> int:
        """Declare a field before any item has it: string, int, float, bool, timestamp, strings or json.

        Raises:
            UsageError: the name or the type is not valid.
            FieldTypeError: the field is there with another type.
        """
        names_of([name])
        return self.records.add_field(name, _kind_of(kind))

    def change_field(
        self, name: str, kind: FieldType | str, *, misfits: Literal["refuse", "null"] = "refuse"
    ) -> FieldsChanged:
        """Change the type of a field and of its values in one transaction: `change_field("price", "float")`.

        Text is read as in a CSV file; numbers, booleans and dates become text; see `data/field_conversion.py`. Earlier
        states (`as_of`) keep the type and the values that they had. See `change_fields`.
        """
        return self.change_fields(retype={name: kind}, misfits=misfits)

    def rename_field(self, name: str, new_name: str) -> FieldsChanged:
        """Rename a field in one transaction; earlier states keep the old name. See `change_fields`."""
        return self.change_fields(rename={name: new_name})

    def drop_field(self, name: str) -> FieldsChanged:
        """Remove a field and its values, in one transaction; earlier states keep them. See `change_fields`."""
        return self.change_fields(drop=name)

    def change_fields(
        self,
        *,
        retype: Mapping[str, FieldType | str] | None = None,
        rename: Mapping[str, str] | None = None,
        drop: str | Iterable[str] | None = None,
        misfits: Literal["refuse", "null"] = "refuse",
    ) -> FieldsChanged:
        """Change types, drop fields and rename fields in one transaction; items with a value of them are written anew.

        All three name fields as they are before the call. Renames take effect together, after drops: two fields can
        swap names, and a field can take the name of one that is dropped. A value that does not fit its new type
        refuses the whole change, or becomes null with `misfits` "null". Run `optimize` afterwards in a large catalog:
        items that were written anew are searched in memory until then.

        Raises:
            UsageError: a field or type does not exist, a field is dropped and changed as well, another field has or
                gets the new name, or there is nothing to change.
            FieldTypeError: values do not fit the new type; it names some, and nothing is changed.
            CatalogBusy: another process is indexing into the catalog.
        """
        if misfits not in ("refuse", "null"):
            raise UsageError(f"Values that do not fit can be refused or null, not {misfits!r}.")
        types = mapping_of(retype, "retype", '{"price": "float"}')
        new_names = mapping_of(rename, "rename", '{"colour": "color"}')
        names_of(list(new_names.values()))
        changes = [FieldChange(name, name, _kind_of(kind)) for name, kind in types.items()]
        changes += [FieldChange(name, new_name) for name, new_name in new_names.items()]
        changes += [FieldChange(name, None) for name in names_of(drop) or ()]
        if not changes:
            raise UsageError("Say which field to change.")
        with self.writer():
            return self.records.change_fields(changes, null_misfits=misfits == "null")

    def backup(self, path: str | Path, *, keep: int | None = None, progress: Progress = silent) -> BackupReport:
        """Back the catalog up while it is in use, into a folder of backups, or one file if the path ends in `.tar`.

        Of a folder only the newest `keep` snapshots stay, all of them without it.

        Raises:
            CatalogDamaged: the records cannot be read.
            CatalogBusy: another process is writing a backup there.
            StorageFailed: the backup cannot be written.
            UsageError: the path is in the catalog, or is something else.
        """
        return write_backup(self._folder, Path(path), keep=keep, progress=progress)

    @staticmethod
    def restore(
        backup: str | Path, path: str | Path, *, snapshot: str | None = None, progress: Progress = silent
    ) -> Snapshot:
        """Make a catalog from the newest snapshot of a backup, or from the one whose name or id begins with `snapshot`.

        Raises:
            CatalogExists: there is something at that path.
            BackupNotFound: there is no backup, or no such snapshot.
            BackupDamaged: something is missing or was changed; nothing is left at the path.
            StorageFailed: the catalog cannot be written.
        """
        return restore(Path(backup), folder_of(path), snapshot=snapshot, progress=progress)

    def verify(self, *, progress: Progress = silent) -> Verification:
        """Look at everything: records, vectors, the generation's checksums and counts, thumbnails. Changes nothing.

        Raises:
            CatalogGone: the folder was deleted or replaced meanwhile.
        """
        folder = self._folder
        found = verify(folder, progress=progress)
        return found if self._folder == folder else verify(self._folder, progress=progress)  # it was moved meanwhile

    def repair(self, *, pictures: str | Path | None = None, progress: Progress = silent) -> RepairReport:
        """Make anew what is derived and put aside what cannot be trusted; say what is left.

        Missing thumbnails are made from the files of `pictures`, the folder that the feed's pictures lie in.

        Raises:
            CatalogBusy: another process is indexing into the catalog or optimizing it.
        """
        return repair(self._folder, pictures=None if pictures is None else Path(pictures), progress=progress)

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

        Without `vectors` the file is for reading, and cannot be imported.

        Raises:
            FilterError: the filter cannot be read or does not fit the fields.
            StorageFailed: the file cannot be written.
            UsageError: there is something at that path.
        """
        return export_parquet(
            self._folder,
            Path(path),
            self._live.view,
            filter=filter,
            params=params,
            vectors=vectors,
            progress=progress,
        )

    def import_parquet(self, path: str | Path, *, progress: Progress = silent) -> ImportReport:
        """Insert the items of a Parquet file that `export` wrote, or of any with keys and vectors; an upsert.

        Raises:
            FeedError: the file cannot be read, or has no keys or no vectors.
            ModelMismatch: another model made its vectors.
            CatalogBusy: another process is indexing into the catalog.
        """
        with self.writer():
            return import_parquet(
                open_vector_table(Path(path)), self.file, self.records, self.thumbnails, progress=progress
            )


def _kind_of(kind: FieldType | str) -> FieldType:
    if not isinstance(kind, str) or kind not in list(FieldType):
        raise UsageError(f"The type is {kind!r}; it can be {', '.join(FieldType)}.")
    return FieldType(kind)


def folder_of(path: str | Path) -> Path:
    """Return the folder of a catalog.

    Raises:
        UsageError: the address is not that of a folder.
    """
    if str(path).startswith("milvus://"):
        raise UsageError("This version of Lookalike keeps catalogs in folders; milvus:// is not read yet.")
    return Path(path)

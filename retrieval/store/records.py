"""The system of record: one SQLite file holding items, their images and their vectors; all else is derived from it.

Each transaction is a commit with a number and a time. The current state of an item is one row of `items`; its previous
states, and deleted items, are in `history`. Images and vectors carry the commits at which they were born and died, and
`image_history` has the positions that images had before they were moved. So any state since the last purge can be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import orjson

from lookalike.data.errors import CatalogBusy, ItemExists, ItemNotFound
from lookalike.data.feeds.feed import FeedSource
from lookalike.retrieval.files.catalog_folder import CatalogFolder
from lookalike.retrieval.schema import Schema
from lookalike.retrieval.store import checksums, statements
from lookalike.retrieval.store.commits import Change
from lookalike.retrieval.store.database import Database
from lookalike.retrieval.store.field_changes import FieldWriter
from lookalike.retrieval.store.ledger import FeedRun, Notes
from lookalike.retrieval.store.reader import json_ids
from lookalike.retrieval.stored_rows import ItemChange, ItemWrite, VectorWrites
from lookalike.retrieval.vector_blobs import narrowed

__all__ = ["Records"]

OWN_NAMES: Mapping[str, str] = MappingProxyType({"image": "image", "title": "title"})
"""The stored names of a catalog's spaces, by space, until its models are changed."""

_PURGED_AT_ONCE = 5_000
_PAGES_AT_ONCE = 2_000


class Records(FieldWriter):
    """The records of one catalog, for reading and writing. Safe to use from several threads."""

    @classmethod
    def create(cls, path: Path) -> Records:
        """Create a new, empty file, which is either complete or absent, and open it.

        Raises:
            StorageFailed: the file cannot be written.
        """
        Database.make(path)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path, folder: CatalogFolder | None = None) -> Records:
        """Open a file, migrating an older format. `folder` is the folder it is in, if that is open already.

        Raises:
            CatalogDamaged: the file is missing or is not a file of records.
            CatalogFormat: a newer version wrote it.
        """
        folder = folder or CatalogFolder.open(path.parent)
        records = cls(folder.path / path.name, folder)
        records._database.check()
        return records

    # --- items -----------------------------------------------------------------------------------------------------

    def upsert(
        self,
        items: Sequence[ItemWrite],
        *,
        schema: Schema | None = None,
        before: Schema | None = None,
        summary: str = "add",
        notes: Notes | None = None,
        stored: Mapping[str, str] = OWN_NAMES,
    ) -> int:
        """Insert or replace items in one transaction; return its commit number. Keys must be unique.

        `schema` has exactly the fields that the items have values of, with the types of these values, and `before` is
        the schema that it was derived from; see `_put_schema`. `notes` are for the ledger. `stored` has the stored name
        of each space; if it names another set of spaces than the one in use, the write is refused. The other methods
        that write use the same parameters.

        Raises:
            FieldsMoved: a field of `schema` was changed since `before` was read; nothing is written.
            CatalogBusy: another process kept writing for too long, or changed the catalog's model.
        """
        with self._commit(summary) as commit:
            self.spaces.check(stored)
            self._put_schema(schema, before)
            known = self._known([item.key for item in items])
            self._to_history(known.values(), commit.seq)
            self._end_images(known, items, commit.seq)
            titles, fields = [item.title for item in items], [item.fields for item in items]
            ids = self._put_items([item.key for item in items], titles, fields, known, commit)
            self._put_images(items, ids, commit.seq, stored)
            if notes is not None:
                self._delete([rename.item for rename in notes.renames], commit)
                self.ledger.write(notes, commit.seq, {item.key: id_ for item, id_ in zip(items, ids, strict=True)})
        return commit.seq

    def put_vectors(
        self,
        writes: VectorWrites,
        *,
        schema: Schema | None = None,
        before: Schema | None = None,
        summary: str = "add vectors",
        refuse: bool = False,
        stored: Mapping[str, str] = OWN_NAMES,
    ) -> int:
        """Insert or replace items that are vectors in one transaction; return its commit number. Keys must be unique.

        Raises:
            FieldsMoved: as in `upsert`.
            ItemExists: `refuse` is set and an item with one of the keys exists; nothing is written.
            CatalogBusy: as in `upsert`.
        """
        with self._commit(summary) as commit:
            self.spaces.check(stored)
            self._put_schema(schema, before)
            known = self._known(writes.keys)
            if known and refuse:
                raise ItemExists(next(key for key in writes.keys if key in known))
            self._to_history(known.values(), commit.seq)
            self._end_all(known.values(), commit.seq)
            ids = self._put_items(writes.keys, writes.titles, writes.fields, known, commit)
            for items, vectors in narrowed(np.array(ids), writes.vectors):
                sums = checksums.of_vectors(items, np.zeros_like(items), vectors)
                # one statement for all takes a third of the time; the vectors are concatenated in one blob
                rows = orjson.dumps(np.stack([items, sums], axis=1), option=orjson.OPT_SERIALIZE_NUMPY).decode()
                width = vectors.shape[1] * vectors.itemsize
                self._database.connection.execute(
                    statements.INSERT_VECTORS, (stored["image"], commit.seq, vectors.tobytes(), width, rows)
                )
        return commit.seq

    def update(
        self,
        changes: Mapping[str, ItemChange],
        *,
        schema: Schema | None = None,
        before: Schema | None = None,
        stored: Mapping[str, str] = OWN_NAMES,
    ) -> int:
        """Change items by key in one transaction; return its commit number. Items that would not change are left alone.

        Raises:
            FieldsMoved: as in `upsert`.
            ItemNotFound: no item has one of the keys; nothing is written.
            CatalogBusy: as in `upsert`.
        """
        with self._commit("update") as commit:
            self.spaces.check(stored)
            self._put_schema(schema, before)
            known = self.items_of_keys(list(changes))
            rows, title_vectors = [], []
            for key, change in changes.items():
                if key not in known:
                    raise ItemNotFound(key)
                row = known[key]
                held = {name: value for name, value in orjson.loads(row.fields).items() if value is not None}
                fields = {name: value for name, value in {**held, **change.fields}.items() if value is not None}
                title = row.title if change.title is False else change.title
                if title == row.title and fields == held:
                    continue
                text = orjson.dumps(fields).decode()
                rows.append((title, text, commit.seq, checksums.of_item(row.id, key, title, text), row.id))
                if change.title_vector is not False:
                    title_vectors.append((row.id, change.title_vector))
            self._to_history((row[-1] for row in rows), commit.seq)
            commit.updated = len(rows)
            connection = self._database.connection
            connection.executemany(statements.CHANGE_ITEM, rows)
            connection.executemany(statements.END_TITLE, [(commit.seq, id_) for id_, _ in title_vectors])
            connection.executemany(
                statements.INSERT_VECTOR,
                [
                    (stored["title"], id_, None, commit.seq, vector, checksums.of_vector(id_, None, vector))
                    for id_, vector in title_vectors
                    if vector is not None
                ],
            )
        return commit.seq

    def delete(self, ids: Iterable[int], *, as_of: int | None = None, summary: str = "delete") -> int:
        """Delete items by id in one transaction; return how many were deleted.

        With `as_of`, items that were changed after that commit are kept.
        """
        with self._commit(summary) as commit:
            connection = self._database.connection
            born = connection.execute(
                "SELECT id, born FROM items WHERE id IN (SELECT value FROM json_each(?))", (json_ids(ids),)
            ).fetchall()
            self._delete([id_ for id_, since in born if as_of is None or since <= as_of], commit)
        return commit.deleted

    def end_loose(self, table: Literal["images", "vectors"], ids: Iterable[int], *, summary: str) -> None:
        """End the life of images or vectors that no longer belong to any item, in one transaction."""
        with self._commit(summary) as commit:
            sql = f"UPDATE {table} SET died = ? WHERE died IS NULL AND id IN (SELECT value FROM json_each(?))"
            self._database.connection.execute(sql, (commit.seq, json_ids(ids)))

    # --- beside the items ------------------------------------------------------------------------------------------

    def begin_run(self, feed: str, *, partial: bool = False, source: FeedSource | None = None) -> FeedRun:
        """Begin a run over a feed, or over single rows of it with `partial`."""
        with self._database.immediate():
            return self.ledger.begin(feed, partial=partial, source=source)

    def note(self, notes: Notes) -> None:
        """Write to the ledger entries that belong to no commit: unchanged or rejected rows."""
        with self._database.immediate():
            self.ledger.write(notes)

    def finish_run(self, run: FeedRun) -> None:
        """Record that a run has read its feed to the end."""
        with self._database.immediate():
            self.ledger.finish(run)

    def remove_missing(self, feed: str, keys: Sequence[str], items: Sequence[int], *, summary: str) -> int:
        """Delete items that a feed no longer has, in one transaction; return how many. Some `keys` may have no item."""
        if not items:
            with self._database.immediate():
                self.ledger.remove(feed, keys, None)
            return 0
        with self._commit(summary) as commit:
            self._delete(items, commit)
            self.ledger.remove(feed, keys, commit.seq)
        return commit.deleted

    def put_generation(self, name: str, index_kind: str) -> None:
        """Set the generation in use and the kind of its index; other processes notice it as they notice commits."""
        with self._database.immediate() as connection:
            connection.execute("UPDATE generation SET name = ?, index_kind = ?", (name, index_kind))

    def purge(self, before: int) -> Iterator[int]:
        """Remove states that ended by commit `before`, and earlier commits; yield the row count of each transaction.

        The first transaction records that older states cannot be read, so the rest may be interrupted at any moment and
        is completed by the next purge. Transactions are small, so that other writers can run between them.
        """
        with self._database.immediate() as connection:
            connection.execute("UPDATE purged SET before = max(before, ?)", (before,))
        for table, dead, id_ in statements.PURGED:
            sql = f"DELETE FROM {table} WHERE {id_} IN (SELECT {id_} FROM {table} WHERE {dead} LIMIT {_PURGED_AT_ONCE})"
            while True:
                with self._database.immediate() as connection:
                    count = connection.execute(sql, {"before": before}).rowcount
                if not count:
                    break
                yield count

    def give_back_space(self) -> None:
        """Return the space of purged rows to the disk."""
        self._database.give_back_space(_PAGES_AT_ONCE)

    # --- parts of a commit -----------------------------------------------------------------------------------------

    def _delete(self, ids: Sequence[int], commit: Change) -> None:
        """Delete items by id."""
        if ids:
            self._to_history(ids, commit.seq)
            self._end_all(ids, commit.seq)
            sql = "DELETE FROM items WHERE id IN (SELECT value FROM json_each(?))"
            commit.deleted += self._database.connection.execute(sql, (json_ids(ids),)).rowcount

    def _end_all(self, item_ids: Iterable[int], seq: int) -> None:
        """End the life of all images and vectors of items."""
        chosen = list(item_ids)
        for table in ("images", "vectors") if chosen else ():
            self._database.connection.execute(
                f"UPDATE {table} SET died = ? WHERE died IS NULL AND item_id IN (SELECT value FROM json_each(?))",
                (seq, json_ids(chosen)),
            )

    def _end_images(self, known: Mapping[str, int], items: Sequence[ItemWrite], seq: int) -> None:
        """End the life of the images and vectors that replaced items lose."""
        connection = self._database.connection
        for item in items if known else ():
            id_ = known.get(item.key)
            if id_ is None:
                continue
            if item.title_vector is not False:
                connection.execute(statements.END_TITLE, (seq, id_))
            if item.images is None and item.bare_vector is None:
                continue
            kept = json_ids(image.kept for image in item.images or () if image.kept)
            connection.execute(statements.END_IMAGES, (seq, id_, kept))
            connection.execute(statements.END_IMAGE_VECTORS, (seq, id_, kept))

    def _put_items(
        self,
        keys: Sequence[str],
        titles: Sequence[str | None] | None,
        fields: Sequence[str],
        known: Mapping[str, int],
        commit: Change,
    ) -> list[int]:
        """Write the rows of items; return their ids."""
        connection = self._database.connection
        titles = titles or [None] * len(keys)
        first = self._next_id("items")
        commit.added, commit.updated = len(keys) - len(known), len(known)
        if not known:
            ids = list(range(first, first + len(keys)))
            sums = checksums.of_items(ids, keys, titles, fields)
            if any("\0" in title for title in titles if title):  # SQLite would truncate a text with NUL read from JSON
                rows = zip(ids, keys, titles, fields, repeat(commit.seq), sums, strict=False)
                connection.executemany(statements.INSERT_ITEM, rows)
            else:
                texts = orjson.dumps(list(zip(keys, titles, fields, sums, strict=True))).decode()
                connection.execute(statements.INSERT_ITEMS, (first, commit.seq, texts))
            return ids
        fresh = iter(range(first, first + commit.added))
        ids = [known[key] if key in known else next(fresh) for key in keys]
        new = [
            (*row, commit.seq, checksums.of_item(*row))
            for row in zip(ids, keys, titles, fields, strict=True)
            if row[1] not in known
        ]
        changed = [
            (title, text, commit.seq, checksums.of_item(id_, key, title, text), id_)
            for id_, key, title, text in zip(ids, keys, titles, fields, strict=True)
            if key in known
        ]
        connection.executemany(statements.INSERT_ITEM, new)
        connection.executemany(statements.CHANGE_ITEM, changed)
        return ids

    def _put_images(self, items: Sequence[ItemWrite], ids: Sequence[int], seq: int, stored: Mapping[str, str]) -> None:
        next_image = self._next_id("images")
        images: list[tuple[object, ...]] = []
        moved: list[dict[str, object]] = []
        vectors: list[tuple[str, int, int | None, bytes | None]] = []
        for item, item_id in zip(items, ids, strict=True):
            if isinstance(item.title_vector, bytes):
                vectors.append((stored["title"], item_id, None, item.title_vector))
            if item.bare_vector is not None:
                vectors.append((stored["image"], item_id, None, item.bare_vector))
            for position, image in enumerate(item.images or ()):
                if image.kept is not None:
                    moved.append({"seq": seq, "id": image.kept, "position": position, "source": image.source})
                    continue
                row = (next_image, item_id, position, image.source, image.sha256, image.width, image.height, seq)
                images.append(row)
                vectors.append((stored["image"], item_id, next_image, image.vector))
                if image.looks is not None:
                    vectors.append((stored["looks"], item_id, next_image, image.looks))
                next_image += 1
        connection = self._database.connection
        connection.executemany(statements.INSERT_IMAGE, images)
        if moved:
            connection.executemany(statements.TO_IMAGE_HISTORY, moved)
            if connection.executemany(statements.MOVE_IMAGE, moved).rowcount != len(moved):
                raise CatalogBusy(
                    "Another process changed the items that were about to be written.", remedy="Run this again."
                )
        connection.executemany(
            statements.INSERT_VECTOR,
            [
                (space, item, image, seq, vector, checksums.of_vector(item, image, vector or b""))
                for space, item, image, vector in vectors
            ],
        )

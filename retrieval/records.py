"""The system of record: one SQLite file holding items, their images and their vectors; all else is derived from it.

Write-ahead log with `synchronous=FULL`: what a transaction has returned for survives a killed process and a power cut.
Each transaction is a commit with a number and a time. The current state of an item is one row of `items`; what it was
before, and what was deleted, is in `history`; images and vectors carry the commits they were born and died at.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from data.errors import CatalogBusy, CatalogDamaged, CatalogFormat
from data.field_type import FieldType
from data.item import is_text
from retrieval import record_sql
from retrieval.rows import ItemRow, ItemWrite, StoredImage, VectorRows
from retrieval.schema import Schema

__all__ = ["Records"]

FORMAT = 1
"""Of the SQLite file (`PRAGMA user_version`)."""

_BUSY_TIMEOUT_S = 30.0


class Records:
    """The SQLite file of one catalog; one connection a thread, so any thread may call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._connections: dict[threading.Thread, sqlite3.Connection] = {}
        self._lock = threading.Lock()

    @classmethod
    def create(cls, path: Path) -> Records:
        """Make a new, empty file; it is whole or absent."""
        records = cls(path)
        connection = records._connection
        connection.execute("PRAGMA journal_mode = WAL")
        with records._translated():
            connection.executescript(f"BEGIN;{record_sql.TABLES}PRAGMA user_version = {FORMAT};COMMIT;")
        return records

    @classmethod
    def open(cls, path: Path) -> Records:
        """Open a file.

        Raises:
            CatalogDamaged: it is missing or not such a file.
            CatalogFormat: a newer version wrote it.
        """
        if not path.is_file():
            raise CatalogDamaged(f"The catalog has lost its records ({path.name}); restore it from a backup.")
        records = cls(path)
        with records._translated():
            (version,) = records._connection.execute("PRAGMA user_version").fetchone()
        if version != FORMAT:
            raise CatalogFormat(f"The records have format {version}, this version of Lookalike reads {FORMAT}.")
        return records

    def close(self) -> None:
        """Close every thread's connection."""
        with self._lock:
            for connection in self._connections.values():
                connection.close()
            self._connections.clear()
        self._local = threading.local()

    # --- reading ---------------------------------------------------------------------------------------------------

    def version(self) -> tuple[int, str | None]:
        """Return the number of the newest commit (0: none) and the name of the generation; costs microseconds."""
        with self._translated():
            seq, generation = self._connection.execute(record_sql.VERSION).fetchone()
        return int(seq), generation

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Make all reads of this thread within the block see one state."""
        with self._translated():
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.execute("COMMIT")

    def schema(self) -> Schema:
        """Return the fields and their types."""
        rows = self._connection.execute("SELECT name, type FROM fields ORDER BY rowid")
        return Schema({name: FieldType(type_) for name, type_ in rows})

    def index_kind(self) -> str | None:
        """Return the kind of index asked for when the generation was built; None before the first."""
        kind: str | None = self._connection.execute("SELECT index_kind FROM generation").fetchone()[0]
        return kind

    def count(self) -> int:
        """Return the number of items."""
        return int(self._connection.execute("SELECT count(*) FROM items").fetchone()[0])

    def count_vectors(self) -> dict[str, int]:
        """Return the number of live vectors by space."""
        return dict(self._connection.execute("SELECT space, count(*) FROM vectors WHERE died IS NULL GROUP BY space"))

    def touched_since(self, seq: int) -> NDArray[np.int64]:
        """Return the ids of the items inserted, changed or deleted after commit `seq`, sorted."""
        rows = self._connection.execute(
            "SELECT id FROM items WHERE born > :seq UNION SELECT item_id FROM history WHERE died > :seq", {"seq": seq}
        )
        return np.fromiter(sorted(id_ for (id_,) in rows), dtype=np.int64)

    def items(self, ids: NDArray[np.int64] | None = None) -> list[ItemRow]:
        """Return all items, or those of `ids` that are there, in the order of their ids."""
        sql = "SELECT id, key, title, fields FROM items"
        if ids is None:
            return [ItemRow(*row) for row in self._connection.execute(f"{sql} ORDER BY id")]
        where = " WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
        return [ItemRow(*row) for row in self._connection.execute(sql + where, (_json_ids(ids),))]

    def items_of_keys(self, keys: Sequence[str]) -> dict[str, ItemRow]:
        """Return the items of those of `keys` that are there, by key."""
        rows = self._connection.execute(
            "SELECT i.id, i.key, i.title, i.fields FROM json_each(?) AS k JOIN items AS i ON i.key = k.value",
            (orjson.dumps([key for key in keys if is_text(key)]).decode(),),
        )
        return {row[1]: ItemRow(*row) for row in rows}

    def images(self, item_ids: Iterable[int]) -> dict[int, list[StoredImage]]:
        """Return the images of items, in order, by item id."""
        rows = self._connection.execute(
            "SELECT item_id, id, source, sha256, width, height FROM images "
            "WHERE died IS NULL AND item_id IN (SELECT value FROM json_each(?)) ORDER BY item_id, position, id",
            (_json_ids(item_ids),),
        )
        found: dict[int, list[StoredImage]] = {}
        for item_id, *image in rows:
            found.setdefault(item_id, []).append(StoredImage(*image))
        return found

    def images_by_id(self, ids: NDArray[np.int64]) -> dict[int, StoredImage]:
        """Return images by id, those of no id left out."""
        rows = self._connection.execute(
            "SELECT id, source, sha256, width, height FROM images WHERE id IN (SELECT value FROM json_each(?))",
            (_json_ids(ids),),
        )
        return {row[0]: StoredImage(*row) for row in rows}

    def image_vector(self, sha256: bytes) -> tuple[int, int, bytes] | None:
        """Return width, height and float16 vector of an image of these bytes, None where the catalog has none."""
        sql = (
            "SELECT i.width, i.height, v.vector FROM images AS i JOIN vectors AS v "
            "ON v.item_id = i.item_id AND v.image_id = i.id AND v.died IS NULL "
            "WHERE i.sha256 = ? AND i.died IS NULL LIMIT 1"
        )
        found: tuple[int, int, bytes] | None = self._connection.execute(sql, (sha256,)).fetchone()
        return found

    def vectors(self, space: str, dim: int, item_ids: NDArray[np.int64] | None = None) -> VectorRows:
        """Return the live vectors of a space, of all items or of some, by item and then by the image's place.

        Raises:
            CatalogDamaged: a vector has not `dim` values.
        """
        where = "v.space = ? AND v.died IS NULL"
        parameters: list[object] = [space]
        if item_ids is not None:
            where += " AND v.item_id IN (SELECT value FROM json_each(?))"
            parameters.append(_json_ids(item_ids))
        with self._translated():
            (count,) = self._connection.execute(
                f"SELECT count(*) FROM vectors AS v WHERE {where}", parameters
            ).fetchone()
            facts = np.zeros((count, 3), dtype=np.int64)
            vectors = np.empty((count, dim), dtype=np.float16)
            rows = self._connection.execute(
                "SELECT v.id, v.item_id, coalesce(v.image_id, 0), v.vector FROM vectors AS v "
                f"LEFT JOIN images AS i ON i.id = v.image_id WHERE {where} ORDER BY v.item_id, i.position, v.id",
                parameters,
            )
            for position, (id_, item_id, image_id, blob) in enumerate(rows):
                if len(blob) != dim * 2:
                    raise CatalogDamaged(f"Vector {id_} has {len(blob) // 2} values instead of {dim}.")
                facts[position] = id_, item_id, image_id
                vectors[position] = np.frombuffer(blob, dtype=np.float16)
        return VectorRows(facts[:, 0].copy(), facts[:, 1].copy(), facts[:, 2].copy(), vectors)

    def rejects(self) -> list[tuple[str, int, str | None, str | None, str]]:
        """Return the ledger of rejected rows: feed, row, key, source, reason."""
        return list(self._connection.execute("SELECT feed, row, key, source, reason FROM rejects ORDER BY feed, row"))

    # --- writing ---------------------------------------------------------------------------------------------------

    def upsert(self, items: Sequence[ItemWrite], *, schema: Schema | None = None, summary: str = "add") -> int:
        """Insert or replace items in one transaction; return its commit number. A key occurs once.

        `schema` is what the fields are after it, when they are not what they were.

        Raises:
            CatalogBusy: another process kept writing for too long.
        """
        with self._transaction(summary) as seq:
            if schema is not None:
                self._put_schema(schema)
            known = self.items_of_keys([item.key for item in items])
            self._retire(known.values(), items, seq)
            ids = self._put_items(items, known, seq)
            self._put_images(items, ids, seq)
        return seq

    def delete(self, ids: Iterable[int], *, as_of: int | None = None, summary: str = "delete") -> int:
        """Delete items by id in one transaction; return how many.

        With `as_of` an item that was changed after that commit is left.
        """
        with self._transaction(summary) as seq:
            connection = self._connection
            born = dict(
                connection.execute(
                    "SELECT id, born FROM items WHERE id IN (SELECT value FROM json_each(?))",
                    (_json_ids(ids),),
                )
            )
            wanted = [(id_,) for id_, since in born.items() if as_of is None or since <= as_of]
            connection.executemany(record_sql.TO_HISTORY, [(seq, id_) for (id_,) in wanted])
            connection.executemany("DELETE FROM items WHERE id = ?", wanted)
            for table in ("images", "vectors"):
                connection.executemany(
                    f"UPDATE {table} SET died = ? WHERE item_id = ? AND died IS NULL", [(seq, id_) for (id_,) in wanted]
                )
        return len(wanted)

    def end_loose(self, table: Literal["images", "vectors"], ids: Iterable[int], *, summary: str) -> None:
        """End the life of images or vectors that belong to nothing any more, in one transaction."""
        with self._transaction(summary) as seq:
            sql = f"UPDATE {table} SET died = ? WHERE died IS NULL AND id IN (SELECT value FROM json_each(?))"
            self._connection.execute(sql, (seq, _json_ids(ids)))

    def put_rejects(self, feed: str, rejects: Sequence[tuple[int, str | None, str | None, str]]) -> None:
        """Replace the ledger of one feed: (row, key, source, reason)."""
        now = time.time()
        with self._immediate() as connection:
            connection.execute("DELETE FROM rejects WHERE feed = ?", (feed,))
            connection.executemany(
                "INSERT INTO rejects VALUES (?, ?, ?, ?, ?, ?)",
                [(feed, row, key, source, reason, now) for row, key, source, reason in rejects],
            )

    def put_generation(self, name: str, index_kind: str) -> None:
        """Name the generation in use and the kind of its index; other processes notice as of any commit."""
        with self._immediate() as connection:
            connection.execute("UPDATE generation SET name = ?, index_kind = ?", (name, index_kind))

    def _put_schema(self, schema: Schema) -> None:
        """Add fields; one that another process has just added must be of a type that can hold both."""
        current = self.schema()
        merged = current
        for name, type_ in schema.items():
            merged = merged.widened(name, type_) if name in merged else merged.extended({name: type_})
        if merged != current:
            rows = [(name, type_.value) for name, type_ in merged.items()]
            self._connection.executemany(
                "INSERT INTO fields VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET type = excluded.type", rows
            )

    def _retire(self, known: Iterable[ItemRow], items: Sequence[ItemWrite], seq: int) -> None:
        """Move the replaced items to the history and end the life of the images and vectors that they lose."""
        ids = {row.key: row.id for row in known}
        connection = self._connection
        connection.executemany(record_sql.TO_HISTORY, [(seq, id_) for id_ in ids.values()])
        for item in items:
            id_ = ids.get(item.key)
            if id_ is None:
                continue
            if item.title_vector is not False:
                connection.execute(record_sql.END_TITLE, (seq, id_))
            if item.images is None and item.bare_vector is None:
                continue
            kept = _json_ids(image.kept for image in item.images or () if image.kept)
            connection.execute(record_sql.END_IMAGES, (seq, id_, kept))
            connection.execute(record_sql.END_IMAGE_VECTORS, (seq, id_, kept))

    def _put_items(self, items: Sequence[ItemWrite], known: dict[str, ItemRow], seq: int) -> list[int]:
        connection = self._connection
        next_id = self._next_id("items")
        ids, new, changed = [], [], []
        for item in items:
            row = known.get(item.key)
            if row is None:
                ids.append(next_id)
                new.append((next_id, item.key, item.title, item.fields, seq))
                next_id += 1
            else:
                ids.append(row.id)
                changed.append((item.title, item.fields, seq, row.id))
        connection.executemany("INSERT INTO items (id, key, title, fields, born) VALUES (?, ?, ?, ?, ?)", new)
        connection.executemany("UPDATE items SET title = ?, fields = ?, born = ? WHERE id = ?", changed)
        return ids

    def _put_images(self, items: Sequence[ItemWrite], ids: Sequence[int], seq: int) -> None:
        next_image = self._next_id("images")
        images: list[tuple[object, ...]] = []
        moved: list[tuple[object, ...]] = []
        vectors: list[tuple[object, ...]] = []
        for item, item_id in zip(items, ids, strict=True):
            if isinstance(item.title_vector, bytes):
                vectors.append(("title", item_id, None, seq, item.title_vector))
            if item.bare_vector is not None:
                vectors.append(("image", item_id, None, seq, item.bare_vector))
            for position, image in enumerate(item.images or ()):
                if image.kept is not None:
                    moved.append((position, image.source, image.kept))
                    continue
                row = (next_image, item_id, position, image.source, image.sha256, image.width, image.height, seq)
                images.append(row)
                vectors.append(("image", item_id, next_image, seq, image.vector))
                next_image += 1
        self._connection.executemany(record_sql.INSERT_IMAGE, images)
        kept = self._connection.executemany(record_sql.MOVE_IMAGE, moved).rowcount if moved else 0
        if kept != len(moved):
            raise CatalogBusy("Another process changed the items that were about to be written; run this again.")
        self._connection.executemany(record_sql.INSERT_VECTOR, vectors)

    def _next_id(self, table: str) -> int:
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        return int(row[0]) + 1 if row else 1

    @contextmanager
    def _transaction(self, summary: str) -> Iterator[int]:
        with self._immediate() as connection:
            cursor = connection.execute("INSERT INTO commits (time, summary) VALUES (?, ?)", (time.time(), summary))
            yield int(cursor.lastrowid or 0)

    @contextmanager
    def _immediate(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        with self._translated():
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn SQLite's errors into ours."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "busy" in str(error):
                raise CatalogBusy("Another process is writing to the catalog; try again when it is done.") from error
            raise CatalogDamaged(f"The records cannot be used: {error}.") from error
        except sqlite3.DatabaseError as error:
            raise CatalogDamaged(f"The records are damaged: {error}. Restore them from a backup.") from error

    @property
    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA synchronous = FULL")
            self._local.connection = connection
            with self._lock:
                for thread in [thread for thread in self._connections if not thread.is_alive()]:
                    self._connections.pop(thread).close()
                self._connections[threading.current_thread()] = connection
        return connection


def _json_ids(ids: Iterable[int] | NDArray[np.int64]) -> str:
    return orjson.dumps(ids if isinstance(ids, np.ndarray) else list(ids), option=orjson.OPT_SERIALIZE_NUMPY).decode()

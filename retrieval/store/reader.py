"""Reading the records: items, images, vectors and commits, as they are or as they were after an earlier commit.

`as_of` is the number of a commit that is not purged; None reads the newest state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import orjson
from numpy.typing import DTypeLike, NDArray

from lookalike.data.errors import CatalogDamaged
from lookalike.data.field_type import FieldType
from lookalike.data.item import is_text
from lookalike.retrieval.files.catalog_folder import CatalogFolder
from lookalike.retrieval.schema import Schema
from lookalike.retrieval.store import checksums, statements
from lookalike.retrieval.store.database import Database
from lookalike.retrieval.store.ledger import Ledger
from lookalike.retrieval.store.stored_spaces import StoredSpaces
from lookalike.retrieval.stored_rows import Commit, ItemRow, StoredImage, VectorRows
from lookalike.retrieval.vector_blobs import Stored, is_whole, of_blobs

__all__ = ["RecordReader", "json_ids"]

_VECTORS_AT_ONCE = 4096
_FACTS_AT_ONCE = 65_536


class _Rows(Protocol):
    def fetchmany(self, size: int) -> list[Any]: ...


class RecordReader:
    """The readable contents of one catalog's records."""

    def __init__(self, path: Path, folder: CatalogFolder) -> None:
        self.folder = folder
        self._database = Database(path, folder)
        self.ledger = Ledger(self._database)
        self.spaces = StoredSpaces(self._database)

    def close(self) -> None:
        """Close every thread's connection."""
        self._database.close()

    def version(self) -> tuple[int, str | None, int]:
        """Return the newest commit (0: none), the name of the generation, and how often the spaces have changed.

        This takes microseconds.
        """
        found: tuple[int, str | None, int] = self._database.one_row(statements.VERSION)
        return found

    @property
    def own_commits(self) -> int:
        """A number that grows whenever this object has written; writes by other processes do not count."""
        return self._database.commits

    @property
    def only_read(self) -> bool:
        """Whether the records cannot be written to."""
        return self._database.only_read

    def snapshot(self) -> AbstractContextManager[None]:
        """Return a context in which all reads of this thread see one state."""
        return self._database.snapshot()

    @property
    def bytes_on_disk(self) -> int:
        """The size of the file and its log, in bytes."""
        return self._database.bytes_on_disk

    def schema(self, *, as_of: int | None = None) -> Schema:
        """Return the fields and their types, now or before any changes after commit `as_of`.

        Fields that were declared after `as_of` are included.
        """
        rows = self._database.connection.execute("SELECT name, type FROM fields ORDER BY rowid")
        fields = {name: FieldType(type_) for name, type_ in rows}
        if as_of is not None:
            sql = "SELECT was_name, was_type, name FROM field_changes WHERE seq > ? ORDER BY rowid DESC"
            for was_name, was_type, name in self._database.connection.execute(sql, (as_of,)):
                before = FieldType(was_type)
                if was_name != name:
                    fields.pop(was_name, None)  # another field, added later
                fields = {was_name if one == name else one: before if one == name else fields[one] for one in fields}
                fields.setdefault(was_name, before)
        return Schema(fields)

    def index_kind(self) -> str | None:
        """Return the kind of index asked for when the generation was built, or None before the first."""
        kind: str | None = self._database.connection.execute("SELECT index_kind FROM generation").fetchone()[0]
        return kind

    # --- commits ---------------------------------------------------------------------------------------------------

    def purged_before(self) -> int:
        """Return the oldest commit whose state is kept, or 0 if none was purged."""
        return int(self._database.connection.execute("SELECT before FROM purged").fetchone()[0])

    def commits(self, limit: int | None = None) -> list[Commit]:
        """Return the commits that are kept, newest first."""
        rows = self._database.connection.execute(
            "SELECT seq, time, summary, added, updated, deleted FROM commits ORDER BY seq DESC LIMIT ?",
            (-1 if limit is None else limit,),
        )
        return [Commit(*row) for row in rows]

    def oldest_commit(self) -> Commit | None:
        """Return the oldest commit that is kept, or None."""
        row = self._database.connection.execute(
            "SELECT seq, time, summary, added, updated, deleted FROM commits ORDER BY seq LIMIT 1"
        ).fetchone()
        return None if row is None else Commit(*row)

    def commit_at(self, time: float) -> int:
        """Return the newest commit at or before a time, in seconds since 1970 UTC, or 0 if there is none."""
        return int(self._database.connection.execute(statements.COMMIT_AT, (time,)).fetchone()[0])

    # --- items -----------------------------------------------------------------------------------------------------

    def count(self) -> int:
        """Return the number of items."""
        return int(self._database.connection.execute("SELECT count(*) FROM items").fetchone()[0])

    def touched_since(self, seq: int) -> NDArray[np.int64]:
        """Return the ids of the items inserted, changed or deleted after commit `seq`, sorted."""
        rows = self._database.connection.execute(
            "SELECT id FROM items WHERE born > :seq UNION SELECT item_id FROM history WHERE died > :seq ORDER BY 1",
            {"seq": seq},
        )
        return np.fromiter((id_ for (id_,) in rows), dtype=np.int64)

    def items(self, ids: NDArray[np.int64] | None = None, *, as_of: int | None = None) -> list[ItemRow]:
        """Return all items, or the existing ones of `ids`, in the order of their ids."""
        if ids is None:
            return self._items("true", "true", "", {"as_of": as_of})
        return self._items(
            "id IN (SELECT value FROM json_each(:ids))",
            "item_id IN (SELECT value FROM json_each(:ids))",
            "",
            {"as_of": as_of, "ids": json_ids(ids)},
        )

    def items_after(self, id_: int, limit: int, *, as_of: int | None) -> list[ItemRow]:
        """Return the first `limit` items with ids greater than `id_`, in the order of their ids."""
        parameters: dict[str, object] = {"as_of": as_of, "after": id_, "limit": limit}
        return self._items("id > :after", "item_id > :after", "LIMIT :limit", parameters)

    def _items(self, where: str, history_where: str, end: str, parameters: dict[str, object]) -> list[ItemRow]:
        sql = f"SELECT id, key, title, fields FROM items WHERE {where} ORDER BY id"
        if parameters["as_of"] is not None:
            sql = statements.ITEMS_AS_OF.format(where=where, history_where=history_where)
        return list(map(ItemRow._make, self._database.connection.execute(f"{sql} {end}", parameters)))

    def items_of_keys(self, keys: Sequence[str], *, as_of: int | None = None) -> dict[str, ItemRow]:
        """Return the existing items with one of `keys`, by key."""
        sql = "SELECT i.id, i.key, i.title, i.fields FROM json_each(:keys) AS k JOIN items AS i ON i.key = k.value"
        rows = self._database.connection.execute(
            sql if as_of is None else statements.ITEMS_OF_KEYS_AS_OF,
            {"keys": orjson.dumps([key for key in keys if is_text(key)]).decode(), "as_of": as_of},
        )
        return {row[1]: ItemRow(*row) for row in rows}

    # --- images and vectors ----------------------------------------------------------------------------------------

    def images(self, item_ids: Iterable[int], *, as_of: int | None = None) -> dict[int, list[StoredImage]]:
        """Return the images of items, in order, by item id."""
        where = "i.item_id IN (SELECT value FROM json_each(:ids))"
        sql = (
            f"SELECT item_id, id, source, sha256, width, height FROM images AS i WHERE {where} AND died IS NULL "
            "ORDER BY item_id, position, id"
        )
        rows = self._database.connection.execute(
            sql if as_of is None else statements.IMAGES_AS_OF.format(where=where),
            {"ids": json_ids(item_ids), "as_of": as_of},
        )
        found: dict[int, list[StoredImage]] = {}
        for item_id, *image in rows:
            found.setdefault(item_id, []).append(StoredImage(*image))
        return found

    def images_by_id(self, ids: NDArray[np.int64], *, as_of: int) -> dict[int, StoredImage]:
        """Return the existing images with one of `ids`, by id."""
        where = "i.id IN (SELECT value FROM json_each(:ids))"
        rows = self._database.connection.execute(
            statements.IMAGES_AS_OF.format(where=where), {"ids": json_ids(ids), "as_of": as_of}
        )
        return {row[1]: StoredImage(*row[1:]) for row in rows}

    def image_vectors(self, sha256: bytes, spaces: Iterable[str]) -> tuple[int, int, dict[str, bytes]] | None:
        """Return width, height and vectors by stored space of an image with this hash, or None if there is none."""
        names = orjson.dumps(list(spaces)).decode()
        rows = self._database.connection.execute(statements.IMAGE_VECTORS, (sha256, names)).fetchall()
        return (rows[0][0], rows[0][1], {space: vector for *_, space, vector in rows}) if rows else None

    def image_hashes(self) -> set[bytes]:
        """Return the hashes of the images of every kept state."""
        return {sha256 for (sha256,) in self._database.connection.execute("SELECT sha256 FROM images")}

    def count_vectors(self) -> dict[str, int]:
        """Return the number of live vectors by space."""
        return dict(
            self._database.connection.execute("SELECT space, count(*) FROM vectors WHERE died IS NULL GROUP BY space")
        )

    def vectors(
        self,
        space: str,
        dim: int,
        item_ids: NDArray[np.int64] | None = None,
        *,
        as_of: int | None = None,
        room: Callable[[int, DTypeLike], Stored] | None = None,
    ) -> VectorRows:
        """Return the vectors of a space, of all items or of some, ordered by item and then by the image's place.

        They are float32 if any of them is stored as float32. `room` allocates the array that they are written into,
        [count, dim] of a dtype; by default it is in memory. Call this within one snapshot.

        Raises:
            CatalogDamaged: a vector does not have `dim` values, or is not as it was written.
        """
        rows = self._vectors(
            "id, item_id, coalesce(image_id, 0), coalesce(checksum, 0), length(vector)", space, item_ids, as_of
        )
        pieces = [np.array(some, dtype=np.int64).T for some in iter(lambda: rows.fetchmany(_FACTS_AT_ONCE), [])]
        facts = np.concatenate(pieces, axis=1) if pieces else np.empty((5, 0), dtype=np.int64)
        order = np.lexsort((facts[0], self._image_places(facts[2], as_of), facts[1]))
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        dtype = np.float32 if (facts[4] == 4 * dim).any() else np.float16
        vectors = (room or partial(_in_memory, dim))(len(order), dtype)
        rows = self._vectors("id, vector", space, item_ids, as_of)
        start = 0
        while some := rows.fetchmany(_VECTORS_AT_ONCE):
            ids, blobs = zip(*some, strict=True)
            lengths = set(map(len, blobs))
            if not lengths <= {dim * 2, dim * 4}:
                id_, blob = next((id_, blob) for id_, blob in some if not is_whole(blob, dim))
                raise CatalogDamaged(f"Vector {id_} has {len(blob) // 2} values instead of {dim}.")
            stop = start + len(some)
            read, known = of_blobs(blobs, dim), facts[3, start:stop]
            sums = checksums.of_blobs(facts[1, start:stop], facts[2, start:stop], blobs)
            wrong = (sums != known) & (known != 0)
            if wrong.any():
                raise CatalogDamaged(
                    f"Vector {ids[int(wrong.argmax())]} is not as it was written.",
                    remedy="Restore a backup (lookalike restore BACKUP NEW), or put its item aside: lookalike repair "
                    "CATALOG",
                )
            vectors[rank[start:stop]] = read
            start = stop
        ids_, items, images = facts[:3, order]
        return VectorRows(ids_, items, images, vectors)

    def _vectors(self, columns: str, space: str, item_ids: NDArray[np.int64] | None, as_of: int | None) -> _Rows:
        chosen = "true" if item_ids is None else "item_id IN (SELECT value FROM json_each(:ids))"
        alive = "died IS NULL" if as_of is None else "born <= :as_of AND (died IS NULL OR died > :as_of)"
        parameters = {"space": space, "as_of": as_of, "ids": None if item_ids is None else json_ids(item_ids)}
        sql = f"SELECT {columns} FROM vectors WHERE {chosen} AND space = :space AND {alive} ORDER BY id"
        return self._database.connection.execute(sql, parameters)

    def _image_places(self, image_ids: NDArray[np.int64], as_of: int | None) -> NDArray[np.int64]:
        """Return each image's position among its item's images; 0 for rows without an image."""
        places = np.zeros(len(image_ids), dtype=np.int64)
        wanted = np.unique(image_ids[image_ids > 0])
        if not len(wanted):
            return places
        sql = "SELECT id, position FROM images WHERE id IN (SELECT value FROM json_each(:ids))"
        found = dict(self._database.connection.execute(sql, {"ids": json_ids(wanted)}))
        if as_of is not None:
            sql = (
                "SELECT image_id, position, min(died) FROM image_history WHERE died > :as_of "
                "AND image_id IN (SELECT value FROM json_each(:ids)) GROUP BY image_id"
            )
            moved = self._database.connection.execute(sql, {"ids": json_ids(wanted), "as_of": as_of})
            found.update((image_id, position) for image_id, position, _ in moved)
        positions = np.fromiter((found.get(id_, 0) for id_ in wanted.tolist()), dtype=np.int64, count=len(wanted))
        has_image = image_ids > 0
        places[has_image] = positions[np.searchsorted(wanted, image_ids[has_image])]
        return places


def _in_memory(dim: int, count: int, dtype: DTypeLike) -> Stored:
    rows: Stored = np.empty((count, dim), dtype=dtype)
    return rows


def json_ids(ids: Iterable[int] | NDArray[np.int64]) -> str:
    """Return ids as the JSON text that a statement reads with `json_each`."""
    return orjson.dumps(ids if isinstance(ids, np.ndarray) else list(ids), option=orjson.OPT_SERIALIZE_NUMPY).decode()

"""sqlite-vec: an exhaustive search inside SQLite, with the fields as metadata columns of the virtual table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from lookalike.models import Matrix
from lookalike.retrieval.bench.peers.peer import Peer, PeerRows, Setting
from lookalike.retrieval.bench.synthetic import Workload

__all__ = ["SqliteVec"]

_FILE = "vectors.sqlite"
_MAPPED_BYTES = 8_000_000_000

Filter = tuple[str, tuple[object, ...]]


class SqliteVec(Peer[Filter]):
    """The cosine over float32 vectors, always exact; APSW loads it, since many builds of Python load no extensions."""

    def __init__(self, apsw: ModuleType, sqlite_vec: ModuleType) -> None:
        self._apsw = apsw
        self._extension = sqlite_vec.loadable_path()

    def build(self, folder: Path, rows: Iterable[PeerRows], count: int, dim: int) -> None:
        """Fill one virtual table."""
        database = self._connected(folder)
        database.execute(
            f"CREATE VIRTUAL TABLE items USING vec0(embedding FLOAT[{dim}] DISTANCE_METRIC=cosine, category TEXT,"
            " brand TEXT, topic TEXT, price FLOAT, in_stock BOOLEAN)"
        )
        for some in rows:
            with database:
                database.executemany(
                    "INSERT INTO items(rowid, embedding, category, brand, topic, price, in_stock)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        (number, vector.tobytes(), *(record[name] for name in ("category", "brand", "topic", "price")),
                         int(bool(record["in_stock"])))
                        for number, vector, record in zip(some.numbers, some.vectors, some.records, strict=True)
                    ),
                )  # fmt: skip
        database.close()

    def open(self, folder: Path) -> None:
        """Open the database and map its file into memory."""
        self._database = self._connected(folder)
        self._database.execute(f"PRAGMA mmap_size={_MAPPED_BYTES}")

    def filter_of(self, workload: Workload) -> Filter:
        """Write the filter as SQL with parameters."""
        signs = {"==": "="}
        conditions = "".join(f" AND {one.field} {signs.get(one.sign, one.sign)} ?" for one in workload.conditions)
        values = (int(one.stored) if isinstance(one.stored, bool) else one.stored for one in workload.conditions)
        return conditions, tuple(values)

    def search(self, query: Matrix, limit: int, filter: Filter, setting: Setting) -> Sequence[int]:
        """Compare the query with every row that passes the filter."""
        conditions, values = filter
        statement = f"SELECT rowid FROM items WHERE embedding MATCH ? AND k = ?{conditions}"
        return [row[0] for row in self._database.execute(statement, (query.tobytes(), limit, *values))]

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _connected(self, folder: Path) -> Any:  # noqa: ANN401  # the package may be absent when types are checked
        database = self._apsw.Connection(str(folder / _FILE))
        database.enable_load_extension(True)
        database.load_extension(self._extension)
        return database

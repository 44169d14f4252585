"""Spaces in the records: the sets of spaces of a catalog, and reading and writing the vectors that one lacks.

A vector that is made later than its picture is given the picture's birth, so that every earlier state has it too. No
generation has the space until it is complete, and it causes no commit, so searches meanwhile do not see it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import orjson

from lookalike.data.errors import CatalogBusy
from lookalike.retrieval.store import checksums, statements
from lookalike.retrieval.store.database import Database

__all__ = ["ImageVector", "LackingImage", "StoredSpaces", "TitleSpan", "TitleVector"]

_AT_ONCE = 5_000


class LackingImage(NamedTuple):
    """A picture that has no vector in some space; `live` is whether an item has it now."""

    id: int
    item_id: int
    key: str | None
    source: str
    sha256: bytes
    live: bool


class ImageVector(NamedTuple):
    """The vector of a picture as bytes, for a space by its stored name."""

    space: str
    image: LackingImage
    vector: bytes


class TitleSpan(NamedTuple):
    """A title that an item had from commit `born` until commit `died` (None: it still has it)."""

    item_id: int
    title: str
    born: int
    died: int | None


class TitleVector(NamedTuple):
    """The vector of a title as bytes, for a space by its stored name."""

    space: str
    span: TitleSpan
    vector: bytes


class StoredSpaces:
    """The spaces of one catalog's records."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def facts(self) -> tuple[int, str | None]:
        """Return how often the sets have changed, and the sets as JSON text, or None if they have never changed."""
        found: tuple[int, str | None] = self._database.one_row("SELECT version, facts FROM spaces")
        return found

    @contextmanager
    def changing(self, version: int) -> Iterator[Callable[[str], None]]:
        """Run the block as one transaction that changes the sets of `version`; yield the function that writes them.

        Raises:
            CatalogBusy: another process has changed them meanwhile.
        """
        sql = "UPDATE spaces SET version = version + 1, facts = ? WHERE version = ?"
        with self._database.immediate() as connection:

            def write(text: str) -> None:
                if connection.execute(sql, (text, version)).rowcount != 1:
                    raise CatalogBusy(
                        "Another process has changed the catalog's models just now.", remedy="Run this again."
                    )

            yield write

    def check(self, stored: Mapping[str, str]) -> None:
        """Within a transaction, refuse vectors for spaces not in use; `stored` maps names of spaces to stored names.

        Raises:
            CatalogBusy: the catalog's model was changed since the vectors were made.
        """
        text = self.facts()[1]
        spaces = {} if text is None else orjson.loads(text)["active"]["spaces"]
        for name, space in stored.items():
            if text is not None and (name not in spaces or spaces[name].get("stored", name) != space):
                raise CatalogBusy(
                    "The catalog's model was changed while this was being written.", remedy="Run it again."
                )

    # --- what is lacking -------------------------------------------------------------------------------------------

    def lacking(self, space: str) -> Iterator[LackingImage]:
        """Yield the pictures of every kept state that have no vector in a space, by id."""
        last = 0
        while rows := self._database.connection.execute(statements.LACKING_IMAGES, (space, last, _AT_ONCE)).fetchall():
            yield from map(LackingImage._make, rows)
            last = rows[-1][0]

    def lacking_of(self, space: str, sha256s: Sequence[bytes]) -> list[LackingImage]:
        """Return the current pictures with one of these hashes that have no vector in a space."""
        found: list[LackingImage] = []
        for sha256 in sha256s:
            rows = self._database.connection.execute(statements.LACKING_OF_BYTES, (space, sha256))
            found += map(LackingImage._make, rows)
        return found

    def items_lacking(self, space: str, item_ids: Sequence[int]) -> set[int]:
        """Return which of the items have a picture that has no vector in a space."""
        chosen = orjson.dumps(list(item_ids)).decode()
        return {id_ for (id_,) in self._database.connection.execute(statements.ITEMS_LACKING, (space, chosen))}

    def count_lacking(self, space: str) -> int:
        """Count the current pictures that have no vector in a space."""
        return int(self._database.connection.execute(statements.COUNT_LACKING, (space,)).fetchone()[0])

    def count_bare(self, space: str) -> int:
        """Count the vectors of a space that belong to no picture."""
        sql = "SELECT count(*) FROM vectors WHERE space = ? AND died IS NULL AND image_id IS NULL"
        return int(self._database.connection.execute(sql, (space,)).fetchone()[0])

    def count_lacking_titles(self, space: str) -> int:
        """Count the items whose title has no vector in a space."""
        return int(self._database.connection.execute(statements.COUNT_LACKING_TITLES, (space,)).fetchone()[0])

    def lacking_titles(self, space: str) -> Iterator[list[TitleSpan]]:
        """Yield the titles of every kept state that have no vector in a space, in batches of items."""
        last = 0
        while True:
            connection = self._database.connection
            rows = connection.execute(statements.TITLED_ITEMS, (last, _AT_ONCE)).fetchall()
            if not rows:
                return
            ids = [row[0] for row in rows]
            last = ids[-1]
            chosen = orjson.dumps(ids).decode()
            states = connection.execute(statements.TITLE_STATES, {"ids": chosen}).fetchall()
            known = set(connection.execute(statements.TITLES_BORN, (chosen, space)).fetchall())
            spans = [span for span in _spans(states) if (span.item_id, span.born) not in known]
            if spans:
                yield spans

    # --- writing ---------------------------------------------------------------------------------------------------

    def put_images(self, vectors: Sequence[ImageVector]) -> int:
        """Write vectors of pictures in one transaction, with the pictures' life spans; return how many are new."""
        rows = [
            (one.space, one.vector, checksums.of_vector(one.image.item_id, one.image.id, one.vector), one.image.id)
            for one in vectors
        ]
        with self._database.immediate() as connection:
            return connection.executemany(statements.INSERT_LATE_VECTOR, rows).rowcount

    def put_titles(self, vectors: Sequence[TitleVector]) -> int:
        """Write vectors of titles in one transaction, except those of outdated titles; return how many were written."""
        rows = [
            {
                "space": one.space,
                "vector": one.vector,
                "checksum": checksums.of_vector(one.span.item_id, None, one.vector),
                **one.span._asdict(),
            }
            for one in vectors
        ]
        with self._database.immediate() as connection:
            return connection.executemany(statements.INSERT_LATE_TITLE, rows).rowcount

    def copy(self, source: str, target: str) -> Iterator[int]:
        """Copy the vectors that a space lacks from another of the same model; yield how many after each transaction."""
        last = 0
        while True:
            with self._database.immediate() as connection:
                found = connection.execute(statements.NEXT_VECTOR, (source, last, _AT_ONCE)).fetchone()[0]
                if found is None:
                    return
                names = {"source": source, "target": target, "after": last, "last": found}
                count = connection.execute(statements.COPY_VECTORS, names).rowcount
                last = found
            yield count

    def remove(self, space: str) -> Iterator[int]:
        """Remove all vectors of a space that no set has any more; yield how many after each small transaction."""
        while True:
            with self._database.immediate() as connection:
                count = connection.execute(statements.REMOVE_VECTORS, (space, _AT_ONCE)).rowcount
            if not count:
                return
            yield count


def _spans(states: Sequence[tuple[int, str | None, int, int | None]]) -> Iterator[TitleSpan]:
    """Merge consecutive states of each item with the same title; yield the spans of its titles."""
    span: TitleSpan | None = None
    for item_id, title, born, died in states:
        if span is not None and span.item_id == item_id and span.title == title and span.died == born:
            span = span._replace(died=died)
            continue
        if span is not None:
            yield span
        span = TitleSpan(item_id, title, born, died) if title else None
    if span is not None:
        yield span

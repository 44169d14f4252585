"""The tables of the records, and the migrations of older formats.

`field_changes` has the names and types of fields before a commit changed or dropped them (`name` is null if dropped),
so that earlier states are read as they were written.
"""

from __future__ import annotations

__all__ = [
    "FROM_FORMAT_1",
    "FROM_FORMAT_2",
    "FROM_FORMAT_3",
    "FROM_FORMAT_4",
    "FROM_FORMAT_5",
    "FROM_FORMAT_6",
    "TABLES",
]

_SINCE_FORMAT_2 = """
CREATE INDEX history_item ON history (item_id);
CREATE INDEX history_key ON history (key);
CREATE TABLE image_history (
    image_id INTEGER NOT NULL, position INTEGER NOT NULL, source TEXT NOT NULL, died INTEGER NOT NULL
);
CREATE INDEX image_history_image ON image_history (image_id, died);
CREATE INDEX image_history_died ON image_history (died);
CREATE INDEX images_item ON images (item_id);
CREATE INDEX images_died ON images (died) WHERE died IS NOT NULL;
CREATE INDEX vectors_item ON vectors (item_id, space, died);
CREATE INDEX vectors_died ON vectors (died) WHERE died IS NOT NULL;
CREATE TABLE purged (before INTEGER NOT NULL);
INSERT INTO purged VALUES (0);
"""

_SINCE_FORMAT_4 = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, feed TEXT NOT NULL, time REAL NOT NULL, complete INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE ledger (
    key TEXT, feed TEXT NOT NULL, part INTEGER NOT NULL, row INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT,
    source TEXT, attempts INTEGER NOT NULL, first_run INTEGER NOT NULL, last_run INTEGER NOT NULL,
    item INTEGER, seq INTEGER
);
CREATE UNIQUE INDEX ledger_key ON ledger (key, feed, part) WHERE part >= 0;
CREATE UNIQUE INDEX ledger_row ON ledger (feed, part) WHERE part < 0;
CREATE INDEX ledger_reason ON ledger (state, feed, row) WHERE reason IS NOT NULL;
"""

_SINCE_FORMAT_5 = """
CREATE TABLE spaces (version INTEGER NOT NULL, facts TEXT);
INSERT INTO spaces VALUES (0, NULL);
CREATE TABLE sources (
    feed TEXT PRIMARY KEY, path TEXT NOT NULL, key_column TEXT, image_column TEXT, title_column TEXT
);
"""

_SINCE_FORMAT_6 = """
CREATE TABLE field_changes (seq INTEGER NOT NULL, was_name TEXT NOT NULL, was_type TEXT NOT NULL, name TEXT);
"""

_SINCE_FORMAT_7 = """
ALTER TABLE sources ADD COLUMN options TEXT;
"""

TABLES = f"""
CREATE TABLE commits (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, summary TEXT NOT NULL,
    added INTEGER NOT NULL DEFAULT 0, updated INTEGER NOT NULL DEFAULT 0, deleted INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE fields (name TEXT PRIMARY KEY, type TEXT NOT NULL);
CREATE TABLE items (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, title TEXT, fields TEXT NOT NULL,
    born INTEGER NOT NULL, checksum INTEGER
);
CREATE INDEX items_born ON items (born);
CREATE TABLE history (
    item_id INTEGER NOT NULL, key TEXT NOT NULL, title TEXT, fields TEXT NOT NULL,
    born INTEGER NOT NULL, died INTEGER NOT NULL, checksum INTEGER
);
CREATE INDEX history_died ON history (died);
CREATE TABLE images (
    id INTEGER PRIMARY KEY AUTOINCREMENT, item_id INTEGER NOT NULL, position INTEGER NOT NULL, source TEXT NOT NULL,
    sha256 BLOB NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL, born INTEGER NOT NULL, died INTEGER
);
CREATE INDEX images_sha256 ON images (sha256) WHERE died IS NULL;
CREATE TABLE vectors (
    id INTEGER PRIMARY KEY AUTOINCREMENT, space TEXT NOT NULL, item_id INTEGER NOT NULL, image_id INTEGER,
    born INTEGER NOT NULL, died INTEGER, vector BLOB NOT NULL, checksum INTEGER
);
CREATE TABLE generation (name TEXT, index_kind TEXT);
INSERT INTO generation VALUES (NULL, NULL);
{_SINCE_FORMAT_2}{_SINCE_FORMAT_4}{_SINCE_FORMAT_5}{_SINCE_FORMAT_6}{_SINCE_FORMAT_7}"""

FROM_FORMAT_1 = (
    "ALTER TABLE commits ADD COLUMN added INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE commits ADD COLUMN updated INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE commits ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0",
    "DROP INDEX images_item",
    "DROP INDEX vectors_item",
    *filter(str.strip, _SINCE_FORMAT_2.split(";")),
    # If the clock went back: no commit may be earlier than the one before it.
    "UPDATE commits SET time = r.latest FROM "
    "(SELECT seq AS at, max(time) OVER (ORDER BY seq) AS latest FROM commits) AS r WHERE r.at = commits.seq",
    # A state born when the item's previous state dies is an update; otherwise the item was added or deleted.
    "CREATE TEMP TABLE changes AS SELECT seq, count(*) FILTER (WHERE born AND died) AS updated, "
    "count(*) FILTER (WHERE born AND NOT died) AS added, count(*) FILTER (WHERE died AND NOT born) AS deleted "
    "FROM (SELECT item_id, seq, max(born) AS born, max(died) AS died FROM ("
    "SELECT id AS item_id, born AS seq, 1 AS born, 0 AS died FROM items "
    "UNION ALL SELECT item_id, born, 1, 0 FROM history UNION ALL SELECT item_id, died, 0, 1 FROM history"
    ") GROUP BY item_id, seq) GROUP BY seq",
    "UPDATE commits SET added = c.added, updated = c.updated, deleted = c.deleted FROM changes AS c "
    "WHERE c.seq = commits.seq",
    "DROP TABLE changes",
)
"""Format 1 did not record where an image stood before it was moved, so earlier positions are unknown."""

FROM_FORMAT_2 = tuple(f"ALTER TABLE {table} ADD COLUMN checksum INTEGER" for table in ("items", "history", "vectors"))
"""Rows written before have no checksum, and nothing to compare one with."""

FROM_FORMAT_3 = (
    *filter(str.strip, _SINCE_FORMAT_4.split(";")),
    "INSERT INTO runs (feed, time) SELECT feed, max(time) FROM rejects GROUP BY feed ORDER BY max(time)",
    # a row without a key is identified by number; of several with one key, the first is the row, the others pictures
    "INSERT OR IGNORE INTO ledger SELECT key, feed, CASE WHEN key IS NULL THEN -row ELSE nth - 1 END, row, "
    "'rejected', reason, source, 1, run, run, NULL, NULL FROM (SELECT rejects.*, runs.id AS run, row_number() OVER "
    "(PARTITION BY rejects.feed, key ORDER BY rejects.rowid) AS nth FROM rejects "
    "JOIN runs ON runs.feed = rejects.feed)",
    "DROP TABLE rejects",
)
"""Format 3 recorded only the rows of a feed that its last run rejected."""

FROM_FORMAT_4 = tuple(filter(str.strip, _SINCE_FORMAT_5.split(";")))
"""Format 4 had one set of spaces, in `catalog.json`, and did not record where a feed was read from."""

FROM_FORMAT_5 = tuple(filter(str.strip, _SINCE_FORMAT_6.split(";")))
"""Before format 6, the type and the name of a field could not be changed."""

FROM_FORMAT_6 = tuple(filter(str.strip, _SINCE_FORMAT_7.split(";")))
"""Before format 7, of the options of a feed only the names of columns were recorded; the others are JSON."""

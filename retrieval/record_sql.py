"""The tables of the records, what brings older formats to this one, and the statements longer than a line."""

from __future__ import annotations

__all__ = [
    "CHANGE_ITEM",
    "COMMIT_AT",
    "END_IMAGES",
    "END_IMAGE_VECTORS",
    "END_TITLE",
    "FROM_FORMAT_1",
    "FROM_FORMAT_2",
    "IMAGES_AS_OF",
    "INSERT_COMMIT",
    "INSERT_IMAGE",
    "INSERT_ITEM",
    "INSERT_VECTOR",
    "ITEMS_AS_OF",
    "ITEMS_OF_KEYS_AS_OF",
    "MOVE_IMAGE",
    "PURGED",
    "TABLES",
    "TO_HISTORY",
    "TO_IMAGE_HISTORY",
    "VERSION",
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
CREATE TABLE rejects (
    feed TEXT NOT NULL, row INTEGER NOT NULL, key TEXT, source TEXT, reason TEXT NOT NULL, time REAL NOT NULL
);
CREATE TABLE generation (name TEXT, index_kind TEXT);
INSERT INTO generation VALUES (NULL, NULL);
{_SINCE_FORMAT_2}"""

FROM_FORMAT_1 = (
    "ALTER TABLE commits ADD COLUMN added INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE commits ADD COLUMN updated INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE commits ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0",
    "DROP INDEX images_item",
    "DROP INDEX vectors_item",
    *filter(str.strip, _SINCE_FORMAT_2.split(";")),
    # A clock that went back: no commit is earlier than the one before it.
    "UPDATE commits SET time = r.latest FROM "
    "(SELECT seq AS at, max(time) OVER (ORDER BY seq) AS latest FROM commits) AS r WHERE r.at = commits.seq",
    # A state that is born when the item's state before dies is an update; else it is an added item, or a deleted one.
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
"""Format 1 did not note where an image stood before it was moved: its earlier places are not known."""

FROM_FORMAT_2 = tuple(f"ALTER TABLE {table} ADD COLUMN checksum INTEGER" for table in ("items", "history", "vectors"))
"""What was written before has no checksum, and nothing to compare it with."""

VERSION = "SELECT (SELECT coalesce(max(seq), 0) FROM commits), (SELECT name FROM generation)"
COMMIT_AT = "SELECT coalesce(max(seq), 0) FROM commits WHERE time <= ? + 0.0000005"
"""Half a microsecond more: the time that people see is rounded to a microsecond."""

_PAST_ITEM = "+born <= :as_of AND +died > :as_of"
ITEMS_AS_OF = (
    "SELECT id, key, title, fields FROM items WHERE +born <= :as_of AND {where} "
    f"UNION ALL SELECT item_id AS id, key, title, fields FROM history WHERE {_PAST_ITEM} AND {{history_where}} "
    "ORDER BY id"
)
"""A plus keeps SQLite from the index on that column: rows are wanted in the order of their ids."""

ITEMS_OF_KEYS_AS_OF = (
    "SELECT i.id, i.key, i.title, i.fields FROM json_each(:keys) AS k JOIN items AS i ON i.key = k.value "
    "WHERE i.born <= :as_of UNION ALL "
    "SELECT h.item_id, h.key, h.title, h.fields FROM json_each(:keys) AS k JOIN history AS h ON h.key = k.value "
    "WHERE h.born <= :as_of AND h.died > :as_of"
)
IMAGES_AS_OF = (
    "SELECT i.item_id, i.id, coalesce(h.source, i.source), i.sha256, i.width, i.height FROM images AS i "
    "LEFT JOIN image_history AS h ON h.image_id = i.id AND h.died = "
    "(SELECT min(died) FROM image_history WHERE image_id = i.id AND died > :as_of) "
    "WHERE {where} AND i.born <= :as_of AND (i.died IS NULL OR i.died > :as_of) "
    "ORDER BY i.item_id, coalesce(h.position, i.position), i.id"
)
"""An image's place and source are those of its row, unless a later commit ended the ones it had then."""

INSERT_COMMIT = (
    "INSERT INTO commits (time, summary) "
    "SELECT max(?, coalesce((SELECT time FROM commits ORDER BY seq DESC LIMIT 1), 0)), ?"
)
INSERT_ITEM = "INSERT INTO items (id, key, title, fields, born, checksum) VALUES (?, ?, ?, ?, ?, ?)"
CHANGE_ITEM = "UPDATE items SET title = ?, fields = ?, born = ?, checksum = ? WHERE id = ?"
TO_HISTORY = (
    "INSERT INTO history SELECT id, key, title, fields, born, ?, checksum FROM items "
    "WHERE id IN (SELECT value FROM json_each(?))"
)
END_TITLE = "UPDATE vectors SET died = ? WHERE item_id = ? AND space = 'title' AND died IS NULL"
END_IMAGES = (
    "UPDATE images SET died = ? WHERE item_id = ? AND died IS NULL AND id NOT IN (SELECT value FROM json_each(?))"
)
END_IMAGE_VECTORS = (
    "UPDATE vectors SET died = ? WHERE item_id = ? AND space = 'image' AND died IS NULL "
    "AND (image_id IS NULL OR image_id NOT IN (SELECT value FROM json_each(?)))"
)
TO_IMAGE_HISTORY = (
    "INSERT INTO image_history SELECT id, position, source, :seq FROM images "
    "WHERE id = :id AND (position, source) IS NOT (:position, :source)"
)
MOVE_IMAGE = "UPDATE images SET position = :position, source = :source WHERE id = :id AND died IS NULL"
INSERT_IMAGE = (
    "INSERT INTO images (id, item_id, position, source, sha256, width, height, born) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
INSERT_VECTOR = "INSERT INTO vectors (space, item_id, image_id, born, vector, checksum) VALUES (?, ?, ?, ?, ?, ?)"

PURGED = (
    ("vectors", "died <= :before", "id"),
    ("images", "died <= :before", "id"),
    ("image_history", "died <= :before", "rowid"),
    ("history", "died <= :before", "rowid"),
    ("commits", "seq < :before", "seq"),
)
"""What a purge removes: table, condition, and what names a row."""

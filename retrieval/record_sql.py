"""The tables of the records, and the statements that write them."""

from __future__ import annotations

__all__ = [
    "END_IMAGES",
    "END_IMAGE_VECTORS",
    "END_TITLE",
    "INSERT_IMAGE",
    "INSERT_VECTOR",
    "MOVE_IMAGE",
    "TABLES",
    "TO_HISTORY",
    "VERSION",
]

TABLES = """
CREATE TABLE commits (seq INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, summary TEXT NOT NULL);
CREATE TABLE fields (name TEXT PRIMARY KEY, type TEXT NOT NULL);
CREATE TABLE items (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, title TEXT, fields TEXT NOT NULL,
    born INTEGER NOT NULL
);
CREATE INDEX items_born ON items (born);
CREATE TABLE history (
    item_id INTEGER NOT NULL, key TEXT NOT NULL, title TEXT, fields TEXT NOT NULL,
    born INTEGER NOT NULL, died INTEGER NOT NULL
);
CREATE INDEX history_died ON history (died);
CREATE TABLE images (
    id INTEGER PRIMARY KEY AUTOINCREMENT, item_id INTEGER NOT NULL, position INTEGER NOT NULL, source TEXT NOT NULL,
    sha256 BLOB NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL, born INTEGER NOT NULL, died INTEGER
);
CREATE INDEX images_item ON images (item_id) WHERE died IS NULL;
CREATE INDEX images_sha256 ON images (sha256) WHERE died IS NULL;
CREATE TABLE vectors (
    id INTEGER PRIMARY KEY AUTOINCREMENT, space TEXT NOT NULL, item_id INTEGER NOT NULL, image_id INTEGER,
    born INTEGER NOT NULL, died INTEGER, vector BLOB NOT NULL
);
CREATE INDEX vectors_item ON vectors (item_id) WHERE died IS NULL;
CREATE TABLE rejects (
    feed TEXT NOT NULL, row INTEGER NOT NULL, key TEXT, source TEXT, reason TEXT NOT NULL, time REAL NOT NULL
);
CREATE TABLE generation (name TEXT, index_kind TEXT);
INSERT INTO generation VALUES (NULL, NULL);
"""

VERSION = "SELECT (SELECT coalesce(max(seq), 0) FROM commits), (SELECT name FROM generation)"
TO_HISTORY = "INSERT INTO history SELECT id, key, title, fields, born, ? FROM items WHERE id = ?"
END_TITLE = "UPDATE vectors SET died = ? WHERE item_id = ? AND space = 'title' AND died IS NULL"
END_IMAGES = (
    "UPDATE images SET died = ? WHERE item_id = ? AND died IS NULL AND id NOT IN (SELECT value FROM json_each(?))"
)
END_IMAGE_VECTORS = (
    "UPDATE vectors SET died = ? WHERE item_id = ? AND space = 'image' AND died IS NULL "
    "AND (image_id IS NULL OR image_id NOT IN (SELECT value FROM json_each(?)))"
)
MOVE_IMAGE = "UPDATE images SET position = ?, source = ? WHERE id = ? AND died IS NULL"
INSERT_IMAGE = (
    "INSERT INTO images (id, item_id, position, source, sha256, width, height, born) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
INSERT_VECTOR = "INSERT INTO vectors (space, item_id, image_id, born, vector) VALUES (?, ?, ?, ?, ?)"

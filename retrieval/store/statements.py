"""The statements of the records that are longer than one line; `tables.py` has the tables."""

from __future__ import annotations

__all__ = [
    "BROUGHT",
    "BROUGHT_OF_KEYS",
    "CHANGE_ITEM",
    "COMMIT_AT",
    "COPY_VECTORS",
    "COUNT_LACKING",
    "COUNT_LACKING_TITLES",
    "COUNT_MISSING",
    "END_IMAGES",
    "END_IMAGE_VECTORS",
    "END_TITLE",
    "FILES",
    "FORGET_MENDED_PICTURES",
    "FORGET_MENDED_ROWS",
    "FORGET_PARTS",
    "FORGET_PICTURES",
    "HAS_PARTS",
    "IMAGES_AS_OF",
    "IMAGE_VECTORS",
    "INSERT_COMMIT",
    "INSERT_IMAGE",
    "INSERT_ITEM",
    "INSERT_ITEMS",
    "INSERT_LATE_TITLE",
    "INSERT_LATE_VECTOR",
    "INSERT_VECTOR",
    "INSERT_VECTORS",
    "ITEMS_AS_OF",
    "ITEMS_LACKING",
    "ITEMS_OF_KEYS_AS_OF",
    "LACKING_IMAGES",
    "LACKING_OF_BYTES",
    "LEDGER",
    "MARK_MISSING",
    "MOVE_IMAGE",
    "NEXT_VECTOR",
    "NOTE_BY_KEY",
    "NOTE_BY_ROW",
    "NOTE_REMOVED",
    "NOTE_RENAMED",
    "NOTE_UNCHANGED",
    "PURGED",
    "REJECTED_KEYS",
    "REJECTED_ROWS",
    "REMOVE_VECTORS",
    "SECOND_OF_A_KEY",
    "SOURCES",
    "TITLED_ITEMS",
    "TITLES_BORN",
    "TITLE_STATES",
    "TO_HISTORY",
    "TO_IMAGE_HISTORY",
    "VERSION",
]

VERSION = (
    "SELECT (SELECT coalesce(max(seq), 0) FROM commits), (SELECT name FROM generation), (SELECT version FROM spaces)"
)
COMMIT_AT = "SELECT coalesce(max(seq), 0) FROM commits WHERE time <= ? + 0.0000005"
"""The half microsecond allows for displayed times, which are rounded to a microsecond."""

_PAST_ITEM = "+born <= :as_of AND +died > :as_of"
ITEMS_AS_OF = (
    "SELECT id, key, title, fields FROM items WHERE +born <= :as_of AND {where} "
    f"UNION ALL SELECT item_id AS id, key, title, fields FROM history WHERE {_PAST_ITEM} AND {{history_where}} "
    "ORDER BY id"
)
"""The plus keeps SQLite from using the index on that column: rows are wanted in the order of their ids."""

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
"""An image's position and source are those of its row, unless a later commit replaced the ones it had then."""

INSERT_COMMIT = (
    "INSERT INTO commits (time, summary) "
    "SELECT max(?, coalesce((SELECT time FROM commits ORDER BY seq DESC LIMIT 1), 0)), ?"
)
INSERT_ITEM = "INSERT INTO items (id, key, title, fields, born, checksum) VALUES (?, ?, ?, ?, ?, ?)"
INSERT_ITEMS = (
    "INSERT INTO items (id, key, title, fields, born, checksum) "
    "SELECT ?1 + key, value ->> 0, value ->> 1, value ->> 2, ?2, value ->> 3 FROM json_each(?3)"
)
CHANGE_ITEM = "UPDATE items SET title = ?, fields = ?, born = ?, checksum = ? WHERE id = ?"
TO_HISTORY = (
    "INSERT INTO history SELECT id, key, title, fields, born, ?, checksum FROM items "
    "WHERE id IN (SELECT value FROM json_each(?))"
)
_OF_TITLES = "(space = 'title' OR space GLOB 'title@*')"
"""Titles in all sets of spaces: a title that ends, ends in each of them."""

END_TITLE = f"UPDATE vectors SET died = ? WHERE item_id = ? AND {_OF_TITLES} AND died IS NULL"
END_IMAGES = (
    "UPDATE images SET died = ? WHERE item_id = ? AND died IS NULL AND id NOT IN (SELECT value FROM json_each(?))"
)
END_IMAGE_VECTORS = (
    f"UPDATE vectors SET died = ? WHERE item_id = ? AND NOT {_OF_TITLES} AND died IS NULL "
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
INSERT_VECTORS = (
    "INSERT INTO vectors (space, item_id, born, vector, checksum) "
    "SELECT ?1, value ->> 0, ?2, substr(?3, 1 + key * ?4, ?4), value ->> 1 FROM json_each(?5)"
)

_LACKING = "NOT EXISTS (SELECT 1 FROM vectors AS v WHERE v.item_id = m.item_id AND v.space = ?1 AND v.image_id = m.id)"
_IMAGE = "m.id, m.item_id, i.key, m.source, m.sha256, m.died IS NULL"
LACKING_IMAGES = (
    f"SELECT {_IMAGE} FROM images AS m LEFT JOIN items AS i ON i.id = m.item_id "
    f"WHERE m.id > ?2 AND {_LACKING} ORDER BY m.id LIMIT ?3"
)
LACKING_OF_BYTES = (
    f"SELECT {_IMAGE} FROM images AS m JOIN items AS i ON i.id = m.item_id "
    f"WHERE m.sha256 = ?2 AND m.died IS NULL AND {_LACKING}"
)
ITEMS_LACKING = (
    "SELECT DISTINCT m.item_id FROM json_each(?2) AS k JOIN images AS m ON m.item_id = k.value "
    f"WHERE m.died IS NULL AND {_LACKING}"
)
COUNT_LACKING = f"SELECT count(*) FROM images AS m WHERE m.died IS NULL AND {_LACKING}"
COUNT_LACKING_TITLES = (
    "SELECT count(*) FROM items AS i WHERE i.title <> '' AND NOT EXISTS "
    "(SELECT 1 FROM vectors AS v WHERE v.item_id = i.id AND v.space = ?1 AND v.died IS NULL)"
)
TITLED_ITEMS = (
    "SELECT DISTINCT id FROM (SELECT id FROM items WHERE id > ?1 UNION SELECT item_id FROM history WHERE item_id > ?1) "
    "ORDER BY id LIMIT ?2"
)
TITLE_STATES = (
    "SELECT item_id, title, born, died FROM history WHERE item_id IN (SELECT value FROM json_each(:ids)) "
    "UNION ALL SELECT id, title, born, NULL FROM items WHERE id IN (SELECT value FROM json_each(:ids)) ORDER BY 1, 3"
)
TITLES_BORN = (
    "SELECT item_id, born FROM vectors WHERE item_id IN (SELECT value FROM json_each(?)) AND space = ? "
    "AND image_id IS NULL"
)
INSERT_LATE_VECTOR = (
    "INSERT INTO vectors (space, item_id, image_id, born, died, vector, checksum) "
    "SELECT ?1, m.item_id, m.id, m.born, m.died, ?2, ?3 FROM images AS m "
    f"WHERE m.id = ?4 AND {_LACKING}"
)
INSERT_LATE_TITLE = (
    "INSERT INTO vectors (space, item_id, image_id, born, died, vector, checksum) "
    "SELECT :space, :item_id, NULL, :born, :died, :vector, :checksum WHERE NOT EXISTS "
    "(SELECT 1 FROM vectors WHERE item_id = :item_id AND space = :space AND born = :born) AND "
    "(:died IS NOT NULL OR EXISTS (SELECT 1 FROM items WHERE id = :item_id AND title = :title AND born >= :born))"
)
"""A vector is written only if its title is still the item's, or was until `died`; the title may have changed meanwhile.
"""

NEXT_VECTOR = "SELECT max(id) FROM (SELECT id FROM vectors WHERE space = ? AND id > ? ORDER BY id LIMIT ?)"
COPY_VECTORS = (
    "INSERT INTO vectors (space, item_id, image_id, born, died, vector, checksum) "
    "SELECT :target, item_id, image_id, born, died, vector, checksum FROM vectors AS o "
    "WHERE space = :source AND id > :after AND id <= :last AND NOT EXISTS (SELECT 1 FROM vectors AS v "
    "WHERE v.item_id = o.item_id AND v.space = :target AND v.image_id IS o.image_id AND v.born = o.born)"
)
REMOVE_VECTORS = "DELETE FROM vectors WHERE id IN (SELECT id FROM vectors WHERE space = ? LIMIT ?)"
IMAGE_VECTORS = (
    "SELECT i.width, i.height, v.space, v.vector FROM images AS i JOIN vectors AS v "
    "ON v.item_id = i.item_id AND v.image_id = i.id AND v.died IS NULL "
    "AND v.space IN (SELECT value FROM json_each(?2)) "
    "WHERE i.id = (SELECT m.id FROM images AS m WHERE m.sha256 = ?1 AND m.died IS NULL ORDER BY "
    "(SELECT count(*) FROM vectors AS o WHERE o.item_id = m.item_id AND o.image_id = m.id AND o.died IS NULL "
    "AND o.space IN (SELECT value FROM json_each(?2))) DESC LIMIT 1)"
)

_NOTE = (
    "INSERT INTO ledger (key, feed, part, row, state, reason, source, attempts, first_run, last_run, item, seq) "
    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10, ?11) ON CONFLICT {identity} DO UPDATE SET "
    "key = excluded.key, row = excluded.row, state = excluded.state, reason = excluded.reason, "
    "source = excluded.source, attempts = attempts + excluded.attempts, last_run = excluded.last_run, "
    "item = coalesce(excluded.item, item), seq = coalesce(excluded.seq, seq)"
)
NOTE_BY_KEY = _NOTE.format(identity="(key, feed, part) WHERE part >= 0")
NOTE_BY_ROW = _NOTE.format(identity="(feed, part) WHERE part < 0")
NOTE_UNCHANGED = (
    "UPDATE ledger SET row = ?, state = 'unchanged', reason = NULL, source = NULL, last_run = ?, item = ? "
    "WHERE key = ? AND feed = ? AND part = 0 AND part >= 0"
)
"""`part >= 0` makes SQLite use the partial index with that condition."""

FORGET_MENDED_PICTURES = (
    "DELETE FROM ledger WHERE key IN (SELECT value FROM json_each(?)) AND feed = ? AND part > 0 AND part >= 0 "
    "AND last_run < ?"
)
FORGET_MENDED_ROWS = (
    "DELETE FROM ledger WHERE rowid IN (SELECT l.rowid FROM json_each(?) AS k CROSS JOIN ledger AS l "
    "ON l.feed = ? AND l.part = -k.value AND l.part < 0 WHERE l.last_run < ?)"
)
"""CROSS makes SQLite look up row by row, instead of scanning all entries that are identified by number."""

SECOND_OF_A_KEY = (
    "UPDATE OR REPLACE ledger SET part = -row, item = NULL, seq = NULL WHERE key IN (SELECT value FROM json_each(?)) "
    "AND feed = ? AND part = 0 AND part >= 0 AND last_run = ? AND state = 'rejected'"
)
FORGET_PARTS = (
    "DELETE FROM ledger WHERE reason IS NOT NULL AND state IN ('rejected', 'warning') AND feed = ? AND part <> 0 "
    "AND last_run < ?"
)
MARK_MISSING = (
    "UPDATE ledger SET state = 'missing', reason = 'It is no longer in the feed.', source = NULL "
    "WHERE feed = ? AND part = 0 AND last_run < ? AND state <> 'missing'"
)
NOTE_RENAMED = (
    "UPDATE ledger SET state = 'missing', reason = ?, source = NULL, item = NULL, seq = ? "
    "WHERE feed = ? AND part = 0 AND part >= 0 AND key = ?"
)
NOTE_REMOVED = (
    "UPDATE ledger SET state = 'missing', reason = 'It is no longer in the feed, and was removed.', source = NULL, "
    "item = NULL, seq = coalesce(?, seq) WHERE key IN (SELECT value FROM json_each(?)) AND feed = ? AND part = 0 "
    "AND part >= 0"
)
FORGET_PICTURES = (
    "DELETE FROM ledger WHERE key IN (SELECT value FROM json_each(?)) AND feed = ? AND part > 0 AND part >= 0"
)
COUNT_MISSING = (
    "SELECT count(*) FROM ledger AS l JOIN items AS i ON i.id = l.item AND i.key = l.key "
    "WHERE l.reason IS NOT NULL AND l.state = 'missing' AND l.feed = ?"
)
HAS_PARTS = (
    "SELECT EXISTS (SELECT 1 FROM ledger WHERE reason IS NOT NULL AND state IN ('rejected', 'warning') AND feed = ? "
    "AND part <> 0)"
)
REJECTED_KEYS = (
    "SELECT DISTINCT key FROM ledger WHERE key IN (SELECT value FROM json_each(?)) AND feed = ? AND part >= 0 "
    "AND state = 'rejected'"
)
REJECTED_ROWS = (
    "SELECT l.part FROM json_each(?) AS k CROSS JOIN ledger AS l ON l.feed = ? AND l.part = -k.value AND l.part < 0"
)
LEDGER = (
    "SELECT l.feed, l.row, l.key, l.source, l.state, l.reason, l.attempts, coalesce(f.time, 0), coalesce(r.time, 0), "
    "l.first_run, l.last_run, l.seq FROM ledger AS l LEFT JOIN runs AS f ON f.id = l.first_run "
    "LEFT JOIN runs AS r ON r.id = l.last_run WHERE {where} ORDER BY l.feed, l.row, l.part LIMIT ?"
)
SOURCES = (
    "SELECT s.feed, s.path, s.key_column, s.image_column, s.title_column FROM sources AS s "
    "LEFT JOIN runs AS r ON r.feed = s.feed GROUP BY s.feed ORDER BY min(r.id)"
)
BROUGHT = (
    "SELECT l.rowid, l.key, l.item, l.last_run, NOT EXISTS (SELECT 1 FROM ledger AS o "
    "WHERE o.key = l.key AND o.part = 0 AND o.part >= 0 AND o.feed <> l.feed AND o.item = l.item "
    "AND o.state <> 'missing') FROM ledger AS l JOIN items AS i ON i.id = l.item AND i.key = l.key "
    "WHERE l.feed = ? AND l.part = 0"
)
"""The items of a catalog that a feed has brought, and whether it is the only feed that still has them."""

BROUGHT_OF_KEYS = f"{BROUGHT} AND l.part >= 0 AND l.key IN (SELECT value FROM json_each(?))"

FILES = (
    "SELECT i.id, i.key, m.sha256 FROM items AS i JOIN images AS m ON m.item_id = i.id AND m.died IS NULL "
    "WHERE i.id IN (SELECT value FROM json_each(?)) GROUP BY i.id HAVING count(*) = 1 AND m.source = i.key"
)
"""The given items that are single files: one picture, whose source is the key."""

PURGED = (
    ("vectors", "died <= :before", "id"),
    ("images", "died <= :before", "id"),
    ("image_history", "died <= :before", "rowid"),
    ("history", "died <= :before", "rowid"),
    ("field_changes", "seq <= :before", "rowid"),
    ("ledger", "state = 'missing' AND reason IS NOT NULL AND item IS NULL AND coalesce(seq, 0) < :before", "rowid"),
    ("commits", "seq < :before", "seq"),
)
"""The rows that a purge removes: table, condition, and identifying column."""

"""Every bound on what a request may carry.

The bounds of a single picture are in `data/pictures/bounds.py`; SECURITY.md lists all of them.
"""

from __future__ import annotations

from lookalike.data.pictures.image_decoder import MAX_BYTES

__all__ = [
    "MAX_BODY_BYTES",
    "MAX_CALL_BYTES",
    "MAX_CHOSEN",
    "MAX_DELETED_KEYS",
    "MAX_DIM",
    "MAX_FACET_FIELDS",
    "MAX_FACET_VALUES",
    "MAX_FORM_FIELDS",
    "MAX_FORM_SECONDS",
    "MAX_FORM_TEXT_BYTES",
    "MAX_IMAGES",
    "MAX_JSON_BYTES",
    "MAX_JSON_PARTS",
    "MAX_JSON_SECONDS",
    "MAX_LARGE_BODIES",
    "MAX_MOMENT_LENGTH",
    "MAX_PARAMS",
    "MAX_PARAM_VALUES",
    "MAX_PARTS",
    "MAX_PICTURE_SEARCHES",
    "MAX_QUERY_BYTES",
    "MAX_RETURNED_FIELDS",
    "MAX_SESSIONS",
    "MAX_TEXT_LENGTH",
    "MAX_UNREAD",
    "MAX_UPLOADED_BYTES",
    "MAX_UPLOADS",
    "MAX_UPLOADS_OF_ONE",
    "MAX_WAITING_CALLS",
    "MAX_WAITING_FORMS",
    "MAX_WORDS_LENGTH",
    "PAGE_SEARCHES_AT_ONCE",
    "SMALL_BODY_BYTES",
    "UPLOAD_SECONDS",
]

# --- any request -----------------------------------------------------------------------------------------------------

MAX_BODY_BYTES = MAX_BYTES + 1024 * 1024
"""Largest form, in bytes: room for one picture of the largest size, or for several that are as large together."""

MAX_JSON_BYTES = 8 * 1024 * 1024
"""Largest body of any other kind, in bytes."""

MAX_JSON_PARTS = 250_000
"""Commas and opening brackets of a JSON body, in texts too: each value takes some time and some memory."""

MAX_FORM_TEXT_BYTES = 2 * 1024 * 1024
"""Text of a form, all its parts that are not files together, in bytes: it is kept in memory."""

MAX_JSON_SECONDS = 60.0
MAX_FORM_SECONDS = 300.0
"""Time for receiving a whole body, by its kind."""

SMALL_BODY_BYTES = 64 * 1024
MAX_LARGE_BODIES = 16
"""Bodies of more than `SMALL_BODY_BYTES`, forms not counted, that are received and worked on at once."""

MAX_QUERY_BYTES = 32 * 1024
"""Longest query string, in bytes."""

# --- the REST API ----------------------------------------------------------------------------------------------------

MAX_TEXT_LENGTH = 10_000
"""Characters of one text, of a filter, and of all words of one search together; a model takes time for each."""

MAX_PARTS = 32
"""Texts, keys, or texts to avoid, of one search."""

MAX_IMAGES = 8
MAX_DIM = 65_536
MAX_FORM_FIELDS = 200

MAX_PARAMS = 100
"""Names in a filter's `params`."""

MAX_PARAM_VALUES = 10_000
"""Values in a filter's `params`, including the values in lists."""

MAX_MOMENT_LENGTH = 64
MAX_DELETED_KEYS = 10_000
MAX_RETURNED_FIELDS = 1_000
"""Names of fields that hits should carry."""

MAX_FACET_FIELDS = 100
MAX_FACET_VALUES = 10_000

MAX_PICTURE_SEARCHES = 4
"""Searches with pictures that run at the same time, each with up to `MAX_BODY_BYTES` in memory; others wait."""

MAX_WAITING_FORMS = 64
"""Forms that are being received or wait for their search, each with up to `MAX_BODY_BYTES` on disk.

The bound applies to the API, and separately to uploads for the page while they are received.
"""

# --- the page --------------------------------------------------------------------------------------------------------

PAGE_SEARCHES_AT_ONCE = 4
"""Calls of the page's functions that run at the same time."""

MAX_WAITING_CALLS = 64
"""Calls of the page's functions that wait."""

MAX_CALL_BYTES = 1024 * 1024
"""Largest call of one of the page's functions, in bytes."""

MAX_WORDS_LENGTH = 2_000
"""Characters of the words to look for, and of the words to avoid."""

MAX_CHOSEN = 200
"""Fields of the filter panel, and values ticked in all fields together."""

MAX_UNREAD = 16
"""Calls of one page whose answers it has not read yet."""

MAX_SESSIONS = 500
"""Pages whose answers are kept; beyond this number the oldest is dropped."""

MAX_UPLOADS = 128
MAX_UPLOADS_OF_ONE = 8
MAX_UPLOADED_BYTES = 1024**3
UPLOAD_SECONDS = 3600.0
"""Uploaded pictures kept for the page: of all visitors, of one visitor, their total bytes, and for how long."""

"""Every bound on what a request may carry.

`data/pictures/bounds.py` has those of one picture; SECURITY.md lists all.
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
    "MAX_IMAGES",
    "MAX_JSON_BYTES",
    "MAX_MOMENT_LENGTH",
    "MAX_PARAMS",
    "MAX_PARAM_VALUES",
    "MAX_PARTS",
    "MAX_PICTURE_SEARCHES",
    "MAX_QUERY_BYTES",
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
    "UPLOAD_SECONDS",
]

# --- any request -----------------------------------------------------------------------------------------------------

MAX_BODY_BYTES = MAX_BYTES + 1024 * 1024
"""The largest form, which may carry pictures: one of the largest size, or several that have as much together."""

MAX_JSON_BYTES = 8 * 1024 * 1024
"""The largest body of any other kind."""

MAX_QUERY_BYTES = 32 * 1024
"""The longest query string."""

# --- the REST API ----------------------------------------------------------------------------------------------------

MAX_TEXT_LENGTH = 10_000
"""Characters of one text, of a filter, and of all words of one search together: a model takes time for each."""

MAX_PARTS = 32
"""Texts, keys, or texts to keep away from, of one search."""

MAX_IMAGES = 8
MAX_DIM = 65_536
MAX_FORM_FIELDS = 200

MAX_PARAMS = 100
"""Names in a filter's `params`."""

MAX_PARAM_VALUES = 10_000
"""Values in a filter's `params`, those of lists included."""

MAX_MOMENT_LENGTH = 64
MAX_DELETED_KEYS = 10_000
MAX_FACET_FIELDS = 100
MAX_FACET_VALUES = 10_000

MAX_PICTURE_SEARCHES = 4
"""Searches with pictures that run at once, each with up to `MAX_BODY_BYTES` in memory; the others wait."""

MAX_WAITING_FORMS = 64
"""Forms that are being received or that wait for their search, each with up to `MAX_BODY_BYTES` on the disk.

The API has this bound, and so have uploads for the page while they are received.
"""

# --- the page --------------------------------------------------------------------------------------------------------

PAGE_SEARCHES_AT_ONCE = 4
"""Calls of the page's functions that run at once."""

MAX_WAITING_CALLS = 64
"""Calls of the page's functions that wait."""

MAX_CALL_BYTES = 1024 * 1024
"""The largest call of one of the page's functions."""

MAX_WORDS_LENGTH = 2_000
"""Characters of the words, and of the words to keep away from."""

MAX_CHOSEN = 200
"""Fields of the filter panel, and values ticked in all of them together."""

MAX_UNREAD = 16
"""Calls of one page whose answers it has not read."""

MAX_SESSIONS = 500
"""Pages whose answers are kept; beyond it the oldest is forgotten."""

MAX_UPLOADS = 128
MAX_UPLOADS_OF_ONE = 8
MAX_UPLOADED_BYTES = 1024**3
UPLOAD_SECONDS = 3600.0
"""How many pictures are kept for the page, of one visitor and of all, how large together, and for how long."""

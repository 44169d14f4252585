"""Every way in: command line, REST, web page."""

from __future__ import annotations

from lookalike.ui.server.allocator import share_one_arena

share_one_arena()  # here, as importing polars starts threads

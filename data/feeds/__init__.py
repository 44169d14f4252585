"""Feeds of every format, as one stream of items."""

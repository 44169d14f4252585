"""Feeds of every format, read as one stream of items."""

"""Folders, files and locks of a catalog, below the modules that interpret them."""

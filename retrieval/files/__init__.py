"""Folders, files and locks of a catalog, below everything that gives them a meaning."""

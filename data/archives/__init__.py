"""Zip and tar archives, read without unpacking them to disk."""

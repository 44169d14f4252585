"""Decoding of pictures, and its limits."""

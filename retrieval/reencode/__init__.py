"""Changing the models of a catalog, and changing back."""

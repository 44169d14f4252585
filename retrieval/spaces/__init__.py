"""The spaces of a catalog, and the models that make their vectors."""

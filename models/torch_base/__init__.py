"""Base classes and tools of the torch models."""

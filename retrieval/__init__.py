"""The catalogue: items and vectors in, hits out."""

"""Everything that the torch models share."""

"""A change of the models of a catalog, and the way back."""

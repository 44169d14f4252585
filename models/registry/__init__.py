"""Names of models, and the files that each model consists of."""

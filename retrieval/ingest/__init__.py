"""Feeds into a catalog, row by row: fetched, loaded, encoded, written, and remembered in the ledger.

run        a whole run; `planning` says what it would do
loading    items on their way: pictures fetched (`fetching`) and loaded (`pictures`) ahead of the model, by a `crew`
deciding   what is to be done about a row; `retrying` says which rows are tried again, `syncing` which items go
watching   a source followed; `waking` waits for the system to tell, `settling` decides which files are ready
"""

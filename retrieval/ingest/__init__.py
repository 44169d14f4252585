"""Indexing feeds into a catalog, row by row: fetched, loaded, encoded, written, and recorded in the ledger.

index_run      a whole run; `dry_run` finds out what one would do
loader         items on their way: pictures fetched (`fetch_stage`) and loaded (`item_pictures`) ahead of the model
worker_pool    the threads of a run
row_decision   decides what to do about a row; `retries` has the rows to try again, `removals` the items to remove
watch          keeps a catalog in step with a source; `file_events` waits for changes, `settled_files` finds ready files
"""

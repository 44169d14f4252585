"""The system of record: one SQLite file with items, their images and vectors, every commit, and the ledger of feeds.

records          the facade: every read and every transaction
reader           items, images, vectors and commits, as they are or were
commits          transactions with a number and a time; `field_changes` changes the fields themselves
database         the file: one connection for each thread, transactions, format; `connection` opens it
tables           the tables and the migrations of older formats; `statements` has the longer statements
stored_spaces    the sets of spaces, and the vectors that one lacks
stored_items     items as the catalog returns them
ledger           the outcome of every row of every feed
moments          finds the commit that a time refers to; `purge` removes history
changed_items    finds the items about to be written that differ; `checksums` detect rows that are not as written
database_file    online copies and SQLite's own check of the file; `file_locks` keep its locks
"""

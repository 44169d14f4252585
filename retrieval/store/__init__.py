"""The system of record: one SQLite file with items, their images and vectors, every commit, and the ledger of feeds.

records      the facade: transactions, what is written, what is read
sql          the tables, what brings older formats to this one, and the longer statements
database     the file: a connection a thread, transactions, its format; `connecting` opens it
reading      items, images, vectors and commits, as they are or were
rows         what goes in and what comes out; `schema` says which fields there are, `stored` makes items of rows
ledger       what became of every row of every feed
moments      from a time to the commit it means; `purging` removes history
unchanged    which items about to be written differ; `checksums` tell whether a row is as it was written
file         the records as a file: online copies, SQLite's own check
"""

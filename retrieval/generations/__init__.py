"""The derived search snapshots of a catalog: immutable, checked by checksums, made again from the records at any time.

generation    one on disk: built under a temporary name and renamed when whole
segment       a set of items frozen at one commit: their columns, and their vectors by space
columns       the fields of all items as columns; `masks` combines what filters ask of them
lookups       what lies beside a column so that a filter need not read its values: `ranks`, `postings`, `stored_texts`
predecessor   what the generation before has learned
"""

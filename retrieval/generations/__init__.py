"""The derived search snapshots of a catalog: immutable, checksummed, and rebuilt from the records at any time.

generation    a snapshot on disk: built under a temporary name and renamed when it is complete
segment       a set of items frozen at one commit: their columns, and their vectors by space
columns       the fields of all items as columns; `masks` evaluates filters over them
lookups       data beside a column that lets filters skip its values: `ranks`, `postings`, `stored_texts`
predecessor   reuses the training and the codes of the generation before
"""

"""The systems that `lookalike bench search --peers` compares a catalog with, one module each.

peer        the interface that every side has, a catalog too
registry    their names and packages; a package is imported when its side runs, and handed to the class that uses it
rounds      building, tuning and measuring one side, each in a process of its own
columns     fields as NumPy arrays, for indexes that have no fields of their own
sql         a filter as an SQL condition
"""

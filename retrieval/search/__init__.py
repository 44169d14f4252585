"""One search, from request to results.

searching   the whole way: parts, ranking under the filter, hits; `prepared` for a search like one before
parts       from words, pictures, keys and vectors to the weighted parts of a query
fusion      several parts into one ranking
live        the newest state of a catalog, kept up with the commits of every process; `past` states earlier states
state        one state, ready to be searched: a generation, what was committed since, less what is gone
device      where a batch is searched: on a GPU (`gpu_vectors`), or where the vectors lie
facets      which values a field has among what may be found
recall      approximate answers beside exact ones
"""

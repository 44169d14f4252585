"""One search, from request to results.

searcher         the whole search: query parts, ranking under the filter, and hits
query_parts      turns words, pictures, keys and vectors into the weighted parts of a query
fusion           combines several parts into one ranking
newest_state     the newest state of a catalog, kept up with the commits of every process
earlier_states   states of a catalog after earlier commits
state            the interface of a state, on which rankings, facets and recall stand
segmented_state  a state on disk: a generation and the items committed since, without the ones that are gone
device           searches batches on a GPU (`gpu_vectors`, `gpu_lists`) or on the CPU
facets           counts the values of a field among the items that may be found
recall           compares approximate answers with exact ones
"""

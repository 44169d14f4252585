"""What the benchmarks of search measure; `lookalike bench` runs them and shows the figures.

synthetic      made-up catalogues of any size
building       one built through the public API, and what that takes
search_sides   the sides of the search benchmark: a catalog, and Faiss by itself
peers          databases and other libraries, measured beside a catalog
growth         how a catalog of some size behaves
speed          queries one by one and in batches, timed; `memory` is what the process has resident
"""

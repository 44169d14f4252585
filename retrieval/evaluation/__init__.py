"""The quality of search, measured on judged queries."""

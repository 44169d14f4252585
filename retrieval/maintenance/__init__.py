"""What looks after a catalog: backups of it, checks and repairs, and a file to carry it over.

care           all of it as methods of a catalog
backup         online backups and restoring; `backup_store` is how they lie on disk
verification   is everything as it was written
repair         what is derived made anew, the rest put aside; `salvage` reads what is left of damaged records
exporting      a catalog into a Parquet file; `importing` from one; `exchange` is how it lies there
"""

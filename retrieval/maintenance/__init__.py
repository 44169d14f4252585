"""Maintenance of a catalog: backups, checks and repairs, changes of fields, and transfer by Parquet files.

backup             online backups and restoring; `backup_store` is their layout on disk
verification       checks that everything is as it was written
repair             rebuilds derived data and sets aside damaged items; `salvage` reads damaged records
thumbnail_repair   rebuilds thumbnails from pictures
parquet_export     writes a catalog to a Parquet file; `parquet_import` reads one; `parquet_format` is the layout
imported_fields    the fields of an import
field_changes      checks changes of fields
history            removes history
"""

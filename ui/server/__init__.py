"""The server: one application over one catalog, and what guards it."""

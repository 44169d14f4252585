"""Pictures behind addresses: fetched with care, from where it is allowed, into files."""

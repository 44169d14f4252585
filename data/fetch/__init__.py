"""Pictures on the web, downloaded into files, from permitted addresses only."""

"""Removing the history of a catalogue that is older than a given moment."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta

from lookalike.data.errors import CatalogBusy
from lookalike.retrieval.core import Core
from lookalike.retrieval.files.thumbnails import Thumbnails
from lookalike.retrieval.query import Moment
from lookalike.retrieval.store.moments import oldest_to_keep
from lookalike.retrieval.store.purge import PurgeReport, purge

__all__ = ["purge_history"]


def purge_history(core: Core, older_than: Moment | timedelta) -> PurgeReport:
    """Remove the history older than a moment or an age; see `Catalog.purge`."""
    before = oldest_to_keep(core.records, older_than)
    if core.state().segments[0].seq < before and core.newest.generation:
        core.newest.optimize()  # an older generation is brought up to date by the history that is about to go
    with ExitStack() as stack:
        try:
            stack.enter_context(core.writer())
            thumbnails: Thumbnails | None = core.thumbnails
        except CatalogBusy:
            thumbnails = None  # a thumbnail that looks unused may belong to an item not yet written
        return purge(core.records, thumbnails, before)

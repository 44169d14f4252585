"""Views of earlier states: the newest generation, with the items touched since as they were then."""

from __future__ import annotations

from lookalike.data.errors import UsageError
from lookalike.retrieval.files.forks import ForkSafeLock
from lookalike.retrieval.generations.segment import load_segment
from lookalike.retrieval.search.state import View
from lookalike.retrieval.store.records import Records

__all__ = ["PastViews"]

_KEPT_VIEWS = 8
_KEPT_ITEMS = 200_000


class PastViews:
    """Makes views of earlier states, and keeps the last few as long as they stand on the generation in use."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._lock = ForkSafeLock()
        self._views: dict[int, View] = {}

    def view(self, newest: View, as_of: int) -> View:
        """Return the state after commit `as_of`, by the models of the newest view, on whose generation it stands.

        Raises:
            UsageError: that state has been purged.
        """
        base, file = newest.segments[0], newest.file
        with self._lock, self._records.snapshot():
            oldest = self._records.purged_before()
            if as_of < oldest:
                raise UsageError(f"The state as of commit {as_of} has been purged.")
            schema = self._records.schema(as_of=as_of)
            self._views = {
                seq: view
                for seq, view in self._views.items()
                if view.segments[0].item_ids is base.item_ids and view.file is file
            }
            view = self._views.pop(as_of, None)
            if view is not None and view.schema != schema:
                view = None
            if view is None and base.seq < oldest:  # what was deleted since has been purged a moment ago
                segment = load_segment(self._records, schema, file.spaces, as_of, as_of=as_of)
                view = View([segment], [None], schema, as_of, file)
            elif view is None:
                touched = self._records.touched_since(min(as_of, base.seq))
                segment = load_segment(self._records, schema, file.spaces, as_of, touched, as_of=as_of)
                view = View([base], [None], schema, base.seq, file).followed_by(segment, touched, schema, as_of)
            self._views[as_of] = view
            self._forget()
            return view

    def _forget(self) -> None:
        """Drop the views asked for longest ago while there are too many of them, or of their items."""
        while len(self._views) > 1:
            items = sum(len(view.segments[-1].item_ids) for view in self._views.values())
            if len(self._views) <= _KEPT_VIEWS and items <= _KEPT_ITEMS:
                return
            del self._views[next(iter(self._views))]

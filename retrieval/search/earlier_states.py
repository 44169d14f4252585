"""States after earlier commits: the newest generation, with the items touched since as they were then."""

from __future__ import annotations

from lookalike.data.errors import UsageError
from lookalike.retrieval.files.forks import ForkSafeLock
from lookalike.retrieval.generations.segment import load_segment
from lookalike.retrieval.search.segmented_state import SegmentedState
from lookalike.retrieval.store.records import Records

__all__ = ["EarlierStates"]

_KEPT_STATES = 8
_KEPT_ITEMS = 200_000


class EarlierStates:
    """Builds states after earlier commits, and caches the last few as long as they share the generation in use."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._lock = ForkSafeLock()
        self._states: dict[int, SegmentedState] = {}

    def state(self, newest: SegmentedState, as_of: int) -> SegmentedState:
        """Return the state after commit `as_of`, with the models and the generation of the state `newest`.

        Raises:
            UsageError: the state has been purged.
        """
        base, file = newest.segments[0], newest.file
        with self._lock, self._records.snapshot():
            oldest = self._records.purged_before()
            if as_of < oldest:
                raise UsageError(f"The state as of commit {as_of} has been purged.")
            schema = self._records.schema(as_of=as_of)
            self._states = {
                seq: state
                for seq, state in self._states.items()
                if state.segments[0].item_ids is base.item_ids and state.file is file
            }
            state = self._states.pop(as_of, None)
            if state is not None and state.schema != schema:
                state = None
            if state is None and base.seq < oldest:  # items deleted since then have just been purged
                segment = load_segment(self._records, schema, file.spaces, as_of, as_of=as_of)
                state = SegmentedState([segment], [None], schema, as_of, file)
            elif state is None:
                touched = self._records.touched_since(min(as_of, base.seq))
                segment = load_segment(self._records, schema, file.spaces, as_of, touched, as_of=as_of)
                state = SegmentedState([base], [None], schema, base.seq, file).followed_by(
                    segment, touched, schema, as_of
                )
            self._states[as_of] = state
            self._forget()
            return state

    def _forget(self) -> None:
        """Drop the least recently used states while there are too many of them, or too many items in them."""
        while len(self._states) > 1:
            items = sum(len(state.segments[-1].item_ids) for state in self._states.values())
            if len(self._states) <= _KEPT_STATES and items <= _KEPT_ITEMS:
                return
            del self._states[next(iter(self._states))]

"""Which of a video's frames stand for its scenes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["LOOK_SIDE", "Look", "SceneChoice", "Seen"]

LOOK_SIDE = 32

Look = NDArray[np.int16]
"""What a frame looks like from afar: RGB, [LOOK_SIDE, LOOK_SIDE, 3], 0 to 255."""

_CHANGED = 0.08
_SETTLED = 0.03
_REST_S = 0.2
_WAIT_FOR_REST_S = 1.0
_ONE_COLOUR = 3.0

Passed = TypeVar("Passed")


@dataclass(frozen=True, slots=True)
class Seen(Generic[Passed]):
    """A frame as it passes: its time in seconds, its look, and the frame itself."""

    seconds: float
    look: Look
    frame: Passed


@dataclass(slots=True)
class SceneChoice(Generic[Passed]):
    """Chooses among frames as they pass.

    A frame becomes the candidate when it looks unlike the last one kept: by a mean absolute difference of 8 % (cuts of
    films are at 13 to 18, what moves between two frames below 2), or `max_gap_s` later. It is kept once the picture
    has rested on it for a fifth of a second, so that a dissolve gives what it ends on and a flash nothing; where
    nothing comes to rest for a second, as it is. Frames of a single colour are passed over.
    """

    min_gap_s: float
    max_gap_s: float
    kept: Seen[Passed] | None = None
    candidate: Seen[Passed] | None = None
    since_s: float = 0.0

    def see(self, seen: Seen[Passed]) -> Seen[Passed] | None:
        """Take in the next frame; give the candidate if it has stood for long enough."""
        chosen = None
        if self.candidate is not None and seen.seconds - self.candidate.seconds >= _REST_S:
            self.kept = chosen = self.candidate
            self.candidate = None
        if self.candidate is None:
            if self._is_wanted(seen):
                self.candidate, self.since_s = seen, seen.seconds
        elif _difference(seen.look, self.candidate.look) >= _SETTLED:
            if not self._is_wanted(seen):  # a flash, and the scene is as it was
                self.candidate = None
            elif self.candidate.seconds - self.since_s < _WAIT_FOR_REST_S:
                self.candidate = seen
        return chosen

    def _is_wanted(self, seen: Seen[Passed]) -> bool:
        if seen.look.reshape(-1, 3).std(axis=0).max() < _ONE_COLOUR:
            return False
        if self.kept is None:
            return True
        gap_s = seen.seconds - self.kept.seconds
        if gap_s < self.min_gap_s:
            return False
        return gap_s >= self.max_gap_s or _difference(seen.look, self.kept.look) >= _CHANGED


def _difference(look: Look, other: Look) -> float:
    return float(np.abs(look - other).mean()) / 255

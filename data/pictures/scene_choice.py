"""Selection of the frames that represent the scenes of a video."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["MINIATURE_SIDE", "Miniature", "SceneChoice", "TimedFrame"]

MINIATURE_SIDE = 32

Miniature = NDArray[np.int16]
"""A frame reduced to RGB of shape [MINIATURE_SIDE, MINIATURE_SIDE, 3], int16, values 0 to 255."""

_SCENE_CHANGE = 0.08
_SETTLED = 0.03
_SETTLE_S = 0.2
_MAX_SETTLE_WAIT_S = 1.0
_MIN_CHANNEL_DEVIATION = 3.0

FrameT = TypeVar("FrameT")


@dataclass(frozen=True, slots=True)
class TimedFrame(Generic[FrameT]):
    """A decoded frame: its time in seconds, its miniature, and the frame itself."""

    seconds: float
    miniature: Miniature
    frame: FrameT


@dataclass(slots=True)
class SceneChoice(Generic[FrameT]):
    """Chooses frames from a stream, one for each scene.

    A frame becomes the candidate if its mean absolute difference from the last chosen frame is at least 8% (cuts differ
    by 13% to 18%, motion between two frames by less than 2%), or if `max_gap_s` has passed. The candidate is chosen
    once the picture has stayed the same for a fifth of a second, so that a dissolve yields its final picture and a
    flash yields nothing. If nothing settles within a second, the candidate is chosen as it is. Frames of a single
    colour are skipped.
    """

    min_gap_s: float
    max_gap_s: float
    chosen: TimedFrame[FrameT] | None = None
    candidate: TimedFrame[FrameT] | None = None
    since_s: float = 0.0

    def add(self, frame: TimedFrame[FrameT]) -> TimedFrame[FrameT] | None:
        """Take the next frame, and return the candidate if it has lasted long enough."""
        result = None
        if self.candidate is not None and frame.seconds - self.candidate.seconds >= _SETTLE_S:
            self.chosen = result = self.candidate
            self.candidate = None
        if self.candidate is None:
            if self._is_wanted(frame):
                self.candidate, self.since_s = frame, frame.seconds
        elif _difference(frame.miniature, self.candidate.miniature) >= _SETTLED:
            if not self._is_wanted(frame):  # a flash; the scene is the same as before
                self.candidate = None
            elif self.candidate.seconds - self.since_s < _MAX_SETTLE_WAIT_S:
                self.candidate = frame
        return result

    def _is_wanted(self, frame: TimedFrame[FrameT]) -> bool:
        if frame.miniature.reshape(-1, 3).std(axis=0).max() < _MIN_CHANNEL_DEVIATION:
            return False
        if self.chosen is None:
            return True
        gap_s = frame.seconds - self.chosen.seconds
        if gap_s < self.min_gap_s:
            return False
        return gap_s >= self.max_gap_s or _difference(frame.miniature, self.chosen.miniature) >= _SCENE_CHANGE


def _difference(first: Miniature, second: Miniature) -> float:
    return float(np.abs(first - second).mean()) / 255

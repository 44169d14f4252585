"""The time of a video's frame, as people write it."""

from __future__ import annotations

from lookalike.data.pictures.video import seconds_of

__all__ = ["clock_of"]


def clock_of(source: str | None) -> str | None:
    """Write the time of the frame that `source` names, whole seconds: 0:12, 1:02:03; None where it names no frame."""
    seconds = None if source is None else seconds_of(source)
    if seconds is None:
        return None
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

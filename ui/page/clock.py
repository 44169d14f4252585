"""The time of a frame within its video, as players write it."""

from __future__ import annotations

from lookalike.data.pictures.video import seconds_of

__all__ = ["clock_of"]


def clock_of(source: str | None) -> str | None:
    """Return the time of the frame that `source` names, in whole seconds, or None if it names no frame.

    >>> clock_of("clip.mp4#t=12"), clock_of("clip.mp4#t=3723.5"), clock_of("photo.jpg")
    ('0:12', '1:02:03', None)
    """
    seconds = None if source is None else seconds_of(source)
    if seconds is None:
        return None
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

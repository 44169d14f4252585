"""Frames of a video, one for each scene, with their times; decoded by PyAV (FFmpeg), an optional extra.

Only files of the containers below are read, and they are recognised by their first bytes. A playlist, with which FFmpeg
would open other files and addresses, is therefore not a video here, and any file that a container refers to is refused.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from PIL import Image

from lookalike.data.errors import NotAPicture
from lookalike.data.pictures.scene_choice import MINIATURE_SIDE, Miniature, SceneChoice, TimedFrame
from lookalike.data.record_files import is_record_file

if TYPE_CHECKING:
    from types import ModuleType

    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

__all__ = [
    "MAX_FRAMES",
    "VIDEO_SUFFIXES",
    "Frame",
    "frame_sha256",
    "frame_source",
    "is_video",
    "scenes",
    "seconds_of",
    "video_kind",
    "video_sha256",
]

MAX_VIDEO_BYTES = 16 * 1024**3
MAX_DURATION_S = 6 * 3600.0
MAX_FRAME_PIXELS = 36_000_000
"""Maximum number of pixels of a frame, as in 8K video."""

MAX_FRAMES = 100
"""Maximum number of frames of one video; a longer video yields frames further apart."""

KEY_FRAMES_FROM = 20_000
"""Number of frames from which only key frames are decoded: eleven minutes at 30 frames per second."""

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")
"""Usual suffixes of these containers. The container itself is recognised by its bytes."""

_CHOICE = b"frames 1"
_HEAD_BYTES = 16
_MATROSKA, _RIFF, _AVI = b"\x1a\x45\xdf\xa3", b"RIFF", b"AVI "
_MOV_BOXES = (b"ftyp", b"moov", b"mdat", b"wide")
_PICTURE_BRANDS = (b"avif", b"avis", b"mif1", b"mif2", b"msf1", b"hei", b"hev", b"crx ", b"jp2 ")
_CODECS = frozenset(
    ("h264", "hevc", "av1", "libdav1d", "vp8", "vp9", "libvpx", "libvpx-vp9", "mpeg4", "mpeg2video", "mpeg1video")
) | {"mjpeg", "prores", "theora", "h263", "msmpeg4", "msmpeg4v2", "msmpeg4v3", "cinepak", "dvvideo", "ffv1"}
_MOMENT = re.compile(r"#t=(\d+(?:\.\d+)?)$")


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: its time from the start of the video in seconds, and its upright RGB image."""

    seconds: float
    rgb: Image.Image


def video_kind(head: bytes) -> str | None:
    """Return FFmpeg's name of a video's container, by the first 16 bytes of the file, or None if it is not a video."""
    if head.startswith(_MATROSKA):
        return "matroska"
    if head.startswith(_RIFF) and head[8:12] == _AVI:
        return "avi"
    if head[4:8] in _MOV_BOXES and head[0] < ord(" "):  # the length of the box; in a text file these bytes are letters
        return None if head[4:8] == b"ftyp" and head[8:12].startswith(_PICTURE_BRANDS) else "mov"
    return None


def is_video(path: Path) -> bool:
    """Return whether a file is a readable video."""
    return not is_record_file(path) and video_kind(_head(path)) is not None


def frame_source(source: str, seconds: float) -> str:
    """Return the name of a frame, as a W3C media fragment: `clip.mp4#t=12.5`."""
    return f"{source}#t={f'{seconds:.3f}'.rstrip('0').rstrip('.')}"


def seconds_of(source: str) -> float | None:
    """Return the time in seconds in the name of a frame, or None if the name has no time."""
    found = _MOMENT.search(source)
    return float(found[1]) if found else None


def video_sha256(path: Path) -> bytes:
    """Return the SHA-256 digest of a video file.

    Raises:
        NotAPicture: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise NotAPicture(f"The file cannot be read: {error.strerror}.") from error


def frame_sha256(video: bytes, seconds: float) -> bytes:
    """Return the digest that identifies a frame: of its video's digest, its time, and the method of choosing frames."""
    return hashlib.sha256(b"%b %b %.3f" % (_CHOICE, video, seconds)).digest()


def scenes(
    path: Path,
    *,
    min_gap_s: float = 1.0,
    max_gap_s: float = 30.0,
    max_frames: int = MAX_FRAMES,
    decode_s: float = 600.0,
) -> Iterator[Frame]:
    """Yield the frames of a video that represent its scenes, in order (see `SceneChoice`).

    Frames are at least `min_gap_s` seconds apart, and at least one is yielded every `max_gap_s`. If that could be more
    than `max_frames`, both gaps are widened.

    Raises:
        NotAPicture: there is no such video, its container or codec is not supported, it is damaged, exceeds the limits
            of this module or takes longer than `decode_s` to decode, or PyAV is not installed.
    """
    av = _av()
    kind = video_kind(_head(path))
    if kind is None:
        raise NotAPicture("This is not a video in a supported container (MP4, MOV, MKV, WebM, AVI).")
    if path.stat().st_size > MAX_VIDEO_BYTES:
        raise NotAPicture(f"The video is too large; at most {MAX_VIDEO_BYTES / 1e9:.0f} GB are read.")
    try:
        with path.open("rb") as file, av.open(file, format=kind, io_open=_refuse) as container:
            stream, duration_s = _checked(container)
            widened = duration_s / max_frames if duration_s else 0.0
            yield from _scenes(
                container, stream, max(min_gap_s, widened), max(max_gap_s, widened), max_frames, decode_s
            )
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise NotAPicture(f"The video is damaged or truncated ({reason}).") from error


def _checked(container: InputContainer) -> tuple[VideoStream, float | None]:
    """Return the video stream and its length in seconds (None if unknown), after checking both against the limits."""
    av = _av()
    covers = av.stream.Disposition.attached_pic
    stream = next((video for video in container.streams.video if not video.disposition & covers), None)
    if stream is None:
        raise NotAPicture("The video has only sound.")
    if stream.codec_context.name not in _CODECS:
        raise NotAPicture(
            f"The video's codec {stream.codec_context.name} is not supported.", remedy="Convert it to H.264."
        )
    _check_size(stream.codec_context.width, stream.codec_context.height)
    duration_s = None
    if stream.duration and stream.time_base:
        duration_s = float(stream.duration * stream.time_base)
    elif container.duration:
        duration_s = container.duration / av.time_base
    if duration_s and duration_s > MAX_DURATION_S:
        raise NotAPicture(f"The video is too long; at most {MAX_DURATION_S / 3600:.0f} hours are read.")
    if duration_s and duration_s * float(stream.average_rate or 30) > KEY_FRAMES_FROM:
        stream.codec_context.skip_frame = "NONKEY"
    return stream, duration_s


def _scenes(
    container: InputContainer,
    stream: VideoStream,
    min_gap_s: float,
    max_gap_s: float,
    max_frames: int,
    decode_s: float,
) -> Iterator[Frame]:
    """Yield the chosen frames; a video of a single colour yields its first frame."""
    start = stream.start_time or 0
    deadline = time.monotonic() + decode_s
    choice: SceneChoice[VideoFrame] = SceneChoice(min_gap_s, max_gap_s)
    first: Frame | None = None
    count = 0
    for frame in _decoded(container, stream):
        if time.monotonic() > deadline:
            raise NotAPicture(f"The video takes longer than {decode_s:.0f} seconds to decode.")
        _check_size(frame.width, frame.height)
        if frame.pts is None or frame.time_base is None:
            continue
        seconds = round(max(float((frame.pts - start) * frame.time_base), 0.0), 3)
        first = first or _upright(frame, stream, seconds)
        chosen = choice.add(TimedFrame(seconds, _miniature(frame), frame))
        if chosen is not None:
            yield _upright(chosen.frame, stream, chosen.seconds)
            count += 1
            if count == max_frames:
                return
    if choice.candidate is not None:
        yield _upright(choice.candidate.frame, stream, choice.candidate.seconds)
    elif first is None:
        raise NotAPicture("The video has no frame that can be decoded.")
    elif not count:
        yield first


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Yield the frames that can be decoded; damaged parts are skipped, as players do."""
    damage = _av().error.InvalidDataError
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except damage:
            continue


def _miniature(frame: VideoFrame) -> Miniature:
    small = frame.reformat(width=MINIATURE_SIDE, height=MINIATURE_SIDE, format="rgb24", interpolation="AREA")
    return small.to_ndarray().astype(np.int16)


def _upright(frame: VideoFrame, stream: VideoStream, seconds: float) -> Frame:
    """Return a frame with square pixels, rotated as the video says."""
    aspect = stream.sample_aspect_ratio
    width = round(frame.width * float(aspect)) if aspect and 0.1 < aspect < 10 else frame.width
    image: Image.Image = frame.to_image(width=width, height=frame.height)  # type: ignore[no-untyped-call]
    return Frame(seconds, image.rotate(frame.rotation, expand=True) if frame.rotation else image)


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_FRAME_PIXELS:
        raise NotAPicture(
            f"The video's frames are too large ({width:,} x {height:,} pixels); "
            f"at most {MAX_FRAME_PIXELS / 1e6:.0f} million pixels are decoded."
        )


def _head(path: Path) -> bytes:
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except (OSError, ValueError):
        return b""


def _refuse(address: str, flags: int, options: dict[str, str]) -> NoReturn:  # noqa: ARG001  # as PyAV calls it
    raise PermissionError("a video may not open another file")


def _av() -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise NotAPicture(
            "Videos need an extra that is not installed.",
            unread="Videos",
            remedy="Install it with: pip install 'lookalike[video]'",
        ) from error
    return av

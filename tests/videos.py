"""Videos made of the sample shop's pictures, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
from av.video.stream import VideoStream
from PIL import Image

from tests.conftest import SAMPLE

RATE = 25
SIZE = (320, 240)
NAMES = ("cup-of-coffee", "beach-ball", "acoustic-guitar")


def sample_picture(name: str, size: tuple[int, int] = SIZE) -> Image.Image:
    """Return one of the sample shop's pictures, stretched to the video's size."""
    with Image.open(SAMPLE.parent / "pictures" / f"{name}.webp") as picture:
        return picture.convert("RGB").resize(size)


def write_video(
    path: Path,
    shots: Sequence[tuple[Image.Image, float]],
    *,
    codec: str = "mpeg4",
    start_s: float = 0.0,
    rate: int = RATE,
    key_every: int = 12,
    aspect: Fraction | None = None,
) -> Path:
    """Write a video that shows each picture for so many seconds; its first frame has the time `start_s`."""
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=rate)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = shots[0][0].size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.bit_rate = 4_000_000
        stream.gop_size = key_every
        if codec == "libvpx":
            stream.options = {"deadline": "realtime", "cpu-used": "8"}
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        place = round(start_s * rate)
        for picture, seconds in shots:
            for _ in range(round(seconds * rate)):
                frame = av.VideoFrame.from_image(picture)  # type: ignore[no-untyped-call]
                frame.pts, frame.time_base = place, Fraction(1, rate)
                container.mux(stream.encode(frame))
                place += 1
        container.mux(stream.encode())
    return path

"""JPEGs as cameras and shops make them, cut from pictures at hand: what the speed of indexing is measured on."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.data.errors import FeedError, NotAPicture
from lookalike.data.pictures.image_decoder import decode, read_bytes

__all__ = ["write_photographs"]

_FEWEST_PIXELS, _MOST_PIXELS = 1_000_000, 12_000_000
_SHAPES = ((4, 3), (3, 4), (3, 2), (1, 1), (16, 9))
_QUALITIES = (75, 82, 85, 90, 92)
_CUT = (0.4, 1.0)
_GRAIN, _GRAIN_SHAPE = 4.0, (4_200, 4_700)


def write_photographs(sources: Sequence[Path], folder: Path, count: int, *, seed: int = 0) -> Iterator[Path]:
    """Write `count` JPEGs of 1 to 12 million pixels, evenly spread, and yield each; the same ones for the same seed.

    Each is a part of one of the sources, in turn, brought to its size, with grain as a sensor leaves it: without it a
    picture made larger is smooth, and decoded far too fast. Shapes and qualities are those in use, colour is stored at
    half the resolution, as cameras do.

    Raises:
        FeedError: none of the sources is a picture.
    """
    chance = random.Random(seed)
    usable = list(sources)
    grain = np.random.default_rng(seed).normal(0, _GRAIN, _GRAIN_SHAPE).round().astype(np.int16)
    sizes = [_FEWEST_PIXELS + (_MOST_PIXELS - _FEWEST_PIXELS) * place / max(count - 1, 1) for place in range(count)]
    chance.shuffle(sizes)
    for number, pixels in enumerate(sizes):
        while usable:
            source = usable[number % len(usable)]
            try:
                picture = decode(read_bytes(source)).rgb
                break
            except NotAPicture:
                usable.remove(source)
        else:
            raise FeedError("None of the files to cut photographs from is a picture.")
        shape = chance.choice(_SHAPES)
        size = _size_of(shape, pixels)
        path = folder / f"photograph-{number:05}.jpg"
        part = picture.resize(size, Image.Resampling.BICUBIC, box=_part_of(picture.size, shape, chance))
        _with_grain(part, grain, chance).save(path, quality=chance.choice(_QUALITIES), subsampling="4:2:0")
        yield path


def _size_of(shape: tuple[int, int], pixels: float) -> tuple[int, int]:
    side = (pixels / (shape[0] * shape[1])) ** 0.5
    return round(shape[0] * side), round(shape[1] * side)


def _part_of(size: tuple[int, int], shape: tuple[int, int], chance: random.Random) -> tuple[float, float, float, float]:
    """Choose a part of that shape at a random place, of 40% to 100% of what fits."""
    scale = min(size[0] / shape[0], size[1] / shape[1]) * chance.uniform(*_CUT)
    width, height = shape[0] * scale, shape[1] * scale
    left, top = chance.uniform(0, size[0] - width), chance.uniform(0, size[1] - height)
    return left, top, left + width, top + height


def _with_grain(picture: Image.Image, grain: NDArray[np.int16], chance: random.Random) -> Image.Image:
    top = chance.randrange(grain.shape[0] - picture.height + 1)
    left = chance.randrange(grain.shape[1] - picture.width + 1)
    noise = grain[top : top + picture.height, left : left + picture.width, None]
    return Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8))

"""Synthetic photographs: JPEGs with the sizes and qualities of cameras and shops, for measuring indexing speed."""

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

_MIN_PIXELS, _MAX_PIXELS = 1_000_000, 12_000_000
_ASPECT_RATIOS = ((4, 3), (3, 4), (3, 2), (1, 1), (16, 9))
_QUALITIES = (75, 82, 85, 90, 92)
_CROP_SCALE = (0.4, 1.0)
_GRAIN_DEVIATION, _GRAIN_SHAPE = 4.0, (4_200, 4_700)


def write_photographs(sources: Sequence[Path], folder: Path, count: int, *, seed: int = 0) -> Iterator[Path]:
    """Write `count` JPEGs of 1 to 12 million pixels, evenly spread, and yield their paths; `seed` determines them all.

    Each is a crop of one of the sources in turn, resized, with sensor noise added. Without noise an enlarged picture is
    smooth and decodes far too fast. Aspect ratios and qualities are common ones, and colour is stored at half the
    resolution, as cameras do.

    Raises:
        FeedError: none of the sources is a picture.
    """
    rng = random.Random(seed)
    usable = list(sources)
    grain = np.random.default_rng(seed).normal(0, _GRAIN_DEVIATION, _GRAIN_SHAPE).round().astype(np.int16)
    sizes = [_MIN_PIXELS + (_MAX_PIXELS - _MIN_PIXELS) * number / max(count - 1, 1) for number in range(count)]
    rng.shuffle(sizes)
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
        aspect = rng.choice(_ASPECT_RATIOS)
        size = _size_of(aspect, pixels)
        path = folder / f"photograph-{number:05}.jpg"
        crop = picture.resize(size, Image.Resampling.BICUBIC, box=_crop_box(picture.size, aspect, rng))
        _with_grain(crop, grain, rng).save(path, quality=rng.choice(_QUALITIES), subsampling="4:2:0")
        yield path


def _size_of(aspect: tuple[int, int], pixels: float) -> tuple[int, int]:
    side = (pixels / (aspect[0] * aspect[1])) ** 0.5
    return round(aspect[0] * side), round(aspect[1] * side)


def _crop_box(size: tuple[int, int], aspect: tuple[int, int], rng: random.Random) -> tuple[float, float, float, float]:
    """Return a random box (left, top, right, bottom) of an aspect ratio, at 40% to 100% of the largest that fits."""
    scale = min(size[0] / aspect[0], size[1] / aspect[1]) * rng.uniform(*_CROP_SCALE)
    width, height = aspect[0] * scale, aspect[1] * scale
    left, top = rng.uniform(0, size[0] - width), rng.uniform(0, size[1] - height)
    return left, top, left + width, top + height


def _with_grain(picture: Image.Image, grain: NDArray[np.int16], rng: random.Random) -> Image.Image:
    top = rng.randrange(grain.shape[0] - picture.height + 1)
    left = rng.randrange(grain.shape[1] - picture.width + 1)
    noise = grain[top : top + picture.height, left : left + picture.width, None]
    return Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8))

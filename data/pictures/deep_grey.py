"""Grey pictures of more than 8 bits a pixel: 16-bit and 32-bit integers, and floating point, scaled to 8 bits.

A 16-bit PNG, JPEG 2000 or PGM covers 0 to 65,535. A TIFF says how many bits it stores, not how many its camera filled,
so its white is the largest number of 8, 10, 12, 14 or 16 bits that no value exceeds. Other integers and floating-point
values are scaled by their own range. From that range, a few outliers (hot or dead pixels) are left out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["is_deep", "to_eight_bits"]

_FULL = 65_535.0
_USED_BITS = (8, 10, 12, 14, 16)
_MAX_SAMPLE_VALUE, _BITS_PER_SAMPLE = 281, 258
_SAMPLED_PIXELS = 250_000
_OUTLIERS_PERCENT = 0.1
"""Share of the pixels, in percent, that may be outliers at either end of the range."""


def is_deep(image: Image.Image) -> bool:
    """Return whether an image has grey pixels of more than 8 bits."""
    return image.mode.startswith("I") or image.mode == "F"


def to_eight_bits(image: Image.Image, *, white_is_zero: bool = False) -> Callable[[Image.Image], Image.Image]:
    """Return a function that scales rows of the image to mode L, or to LA if one grey value stands for transparent."""
    low, high = _range(image)
    clear = image.info.get("transparency")
    scale = 255 / ((high - low) or 1.0)

    def convert(strip: Image.Image) -> Image.Image:
        values = np.asarray(strip)
        scaled = values.astype(np.float64)
        scaled -= low
        scaled *= scale
        np.nan_to_num(scaled, copy=False, posinf=255.0, neginf=0.0)
        np.rint(np.clip(scaled, 0, 255, out=scaled), out=scaled)
        grey = Image.fromarray((255 - scaled if white_is_zero else scaled).astype(np.uint8))
        if isinstance(clear, int):
            grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
        return grey

    return convert


def _range(image: Image.Image) -> tuple[float, float]:
    """Return the values that become black and white."""
    grey = np.asarray(image)
    finite = np.isfinite(grey) if grey.dtype.kind == "f" else np.True_
    low = float(grey.min(where=finite, initial=np.inf if grey.dtype.kind == "f" else grey.flat[0]))
    high = float(grey.max(where=finite, initial=-np.inf if grey.dtype.kind == "f" else grey.flat[0]))
    if not low <= high:
        return 0.0, 1.0
    if grey.dtype.kind != "f" and low >= 0 and high <= _FULL:
        return 0.0, _white(image, high)
    return _without_outliers(grey, low, high)


def _white(image: Image.Image, high: float) -> float:
    if image.format != "TIFF":
        return _FULL
    tags = image.tag_v2  # type: ignore[attr-defined]  # TIFF only
    declared, stored = tags.get(_MAX_SAMPLE_VALUE), tags.get(_BITS_PER_SAMPLE)
    if isinstance(declared, tuple) and len(declared) == 1:
        declared = declared[0]
    if isinstance(declared, int) and max(high, 255) <= declared < _FULL:
        return float(declared)
    used = stored if isinstance(stored, tuple) and stored[0] in (10, 12, 14) else _USED_BITS
    return float(next(2**bits - 1 for bits in (*used, 16) if high < 2**bits))


def _without_outliers(grey: NDArray[np.int32] | NDArray[np.float32], low: float, high: float) -> tuple[float, float]:
    """Narrow a range to nearly all values where the rest lies further away than that is wide."""
    step = max(grey.size // _SAMPLED_PIXELS, 1)
    sample = grey.ravel()[::step]
    sample = sample[np.isfinite(sample)]
    most = np.percentile(sample, [_OUTLIERS_PERCENT, 100 - _OUTLIERS_PERCENT]) if sample.size else [low, high]
    lowest, highest = float(most[0]), float(most[1])
    spread = highest - lowest
    if spread > 0:
        low = lowest if low < lowest - spread else low
        high = highest if high > highest + spread else high
    return low, high

"""Fitting a picture of any shape into the square that a network takes.

Pictures of a catalogue show whole objects, tall or wide, on a plain background that leaves more or less space around
them. So the background is trimmed, a fixed margin is left, and the rest is fitted and centred. Cropping would cut the
object, squashing would distort it, and keeping the background would make an object look different in a close-up and in
a distant shot. A picture without a plain background is fitted as a whole.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from lookalike.models.base import Prepared
from lookalike.models.torch_base.resize import Pixels, pixels_of, resized

__all__ = ["fit_to_square"]

_GROUND_SHARE = 0.5
_GROUND_TOLERANCE = 12
_WHITE = (255, 255, 255)
_REDUCING_GAP = 2.0


def fit_to_square(image: Image.Image, *, side: int, margin: int) -> Prepared:
    """Fit a picture of any mode and shape into a square: uint8, shape [side, side, 3].

    Args:
        image: The picture, without transparency.
        side: Side of the square in pixels.
        margin: Pixels left on each side of an object on a plain background; other pictures have no margin.
    """
    small = _shrink(image, 2 * side)
    ground = _plain_ground(small)
    if ground is None:
        return _centre(small, side, side, _WHITE)
    return _centre(_trim(small, ground), side, side - 2 * margin, ground)


def _shrink(image: Image.Image, longest: int) -> Pixels:
    """Return the pixels of a picture reduced to at most `longest` a side; Pillow averages very large ones first."""
    if max(image.size) <= longest:
        return pixels_of(image)
    width, height = _fitting(image.size, longest)
    if max(image.width / width, image.height / height) >= 2 * _REDUCING_GAP:
        rgb = image if image.mode == "RGB" else image.convert("RGB")
        return pixels_of(rgb.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=_REDUCING_GAP))
    return resized(pixels_of(image), width, height)


def _fitting(size: tuple[int, int], longest: int) -> tuple[int, int]:
    scale = longest / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _plain_ground(pixels: Pixels) -> tuple[int, int, int] | None:
    """Return the colour of at least half of the outermost pixels, within a tolerance, or None if there is none."""
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = (int(channel) for channel in np.median(edge, axis=0))
    distance = np.abs(edge.astype(np.int16) - np.array((red, green, blue), dtype=np.int16)).max(axis=1)
    plain = float((distance <= _GROUND_TOLERANCE).mean())
    return (red, green, blue) if plain >= _GROUND_SHARE else None


def _trim(pixels: Pixels, ground: tuple[int, int, int]) -> Pixels:
    """Remove the outer rows and columns that show only background."""
    height, width, _ = pixels.shape
    lines = pixels.reshape(height, width * 3)  # long rows are compared in vector registers
    low, high = (
        np.tile(np.clip(np.array(ground) + step, 0, 255).astype(np.uint8), width)
        for step in (-_GROUND_TOLERANCE, _GROUND_TOLERANCE)
    )
    other = (lines < low) | (lines > high)
    rows, columns = np.flatnonzero(other.any(axis=1)), np.flatnonzero(other.any(axis=0).reshape(width, 3).any(axis=1))
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else pixels


def _centre(pixels: Pixels, side: int, longest: int, ground: tuple[int, int, int]) -> Prepared:
    height, width, _ = pixels.shape
    width, height = _fitting((width, height), longest)
    square = np.full((side, side, 3), ground, dtype=np.uint8)
    left, top = (side - width) // 2, (side - height) // 2
    square[top : top + height, left : left + width] = resized(pixels, width, height)
    return square

"""How a picture of any shape becomes the square that a network takes.

A catalogue's pictures show whole objects, tall and wide ones, on a plain ground with more or less of it around. So the
plain ground is trimmed, a fixed margin is left, and what remains is fitted and centred: cropping would cut the object,
squashing would bend it, and leaving the ground would make one thing look different in a close and in a distant shot. A
picture without a plain ground is fitted whole.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageChops

from models.base import Prepared

__all__ = ["fit_to_square"]

_GROUND_SHARE = 0.5
_GROUND_TOLERANCE = 12
_WHITE = (255, 255, 255)


def fit_to_square(image: Image.Image, *, side: int, margin: int) -> Prepared:
    """Fit a picture of any mode and shape into a square.

    Args:
        image: The picture; transparency is expected to be gone.
        side: Of the square, in pixels.
        margin: Pixels left on each side of an object on a plain ground; a picture without one gets none.

    Returns:
        uint8, shape [side, side, 3].
    """
    small = _shrink(image.convert("RGB"), 2 * side)
    ground = _plain_ground(small)
    if ground is None:
        return _centre(small, side, side, _WHITE)
    return _centre(_trim(small, ground), side, side - 2 * margin, ground)


def _shrink(image: Image.Image, longest: int) -> Image.Image:
    """Make a large picture small before anything looks at its pixels."""
    if max(image.size) <= longest:
        return image
    return image.resize(_fitting(image.size, longest), Image.Resampling.BICUBIC, reducing_gap=2.0)


def _fitting(size: tuple[int, int], longest: int) -> tuple[int, int]:
    scale = longest / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _plain_ground(image: Image.Image) -> tuple[int, int, int] | None:
    """Find the colour that at least half of the outermost pixels have or nearly have; None where there is none."""
    pixels = np.asarray(image)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = (int(channel) for channel in np.median(edge, axis=0))
    distance = np.abs(edge.astype(np.int16) - np.array((red, green, blue), dtype=np.int16)).max(axis=1)
    plain = float((distance <= _GROUND_TOLERANCE).mean())
    return (red, green, blue) if plain >= _GROUND_SHARE else None


def _trim(image: Image.Image, ground: tuple[int, int, int]) -> Image.Image:
    """Cut off the outer rows and columns that show nothing but ground."""
    red, green, blue = ImageChops.difference(image, Image.new("RGB", image.size, ground)).split()
    distance = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    inside = distance.point([0] * (_GROUND_TOLERANCE + 1) + [255] * (255 - _GROUND_TOLERANCE)).getbbox()
    return image if inside is None else image.crop(inside)


def _centre(image: Image.Image, side: int, longest: int, ground: tuple[int, int, int]) -> Prepared:
    fitted = image.resize(_fitting(image.size, longest), Image.Resampling.BICUBIC)
    square = Image.new("RGB", (side, side), ground)
    square.paste(fitted, ((side - fitted.width) // 2, (side - fitted.height) // 2))
    return np.array(square, dtype=np.uint8)  # a copy: torch wants arrays it may write to

"""Bicubic resizing like Pillow's, several times as fast.

torch has Pillow's antialiased filters for 8-bit pixels, vectorised on processors with AVX2. Its filter weights have
fewer bits, so a few values in a thousand differ, nearly all of them by one step of 255.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

__all__ = ["Pixels", "pixels_of", "resized"]

Pixels = NDArray[np.uint8]
"""A picture: uint8, shape [height, width, 3], RGB."""


def pixels_of(image: Image.Image) -> Pixels:
    """Copy the pixels of a picture of any mode without transparency."""
    return np.array(image if image.mode == "RGB" else image.convert("RGB"), dtype=np.uint8)


def resized(pixels: Pixels, width: int, height: int) -> Pixels:
    """Resize to `width` x `height` pixels, bicubic; an array that has this size already is returned as it is."""
    if pixels.shape[:2] == (height, width):
        return pixels
    source = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]  # channels last in memory
    result = functional.interpolate(source, size=(height, width), mode="bicubic", antialias=True)
    return np.ascontiguousarray(result[0].permute(1, 2, 0).numpy())

"""Preprocessing of pictures by a library's own steps.

open_clip and timm define preprocessing as a list of steps: those that resize and crop pictures, then those that convert
them to tensors and normalise them. The former run on pictures in loader threads, by the library's own code, so that
nothing can differ. The mean and deviation of the latter are extracted and applied on the model's device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lookalike.data.errors import UsageError
from lookalike.models.base import Prepared

__all__ = ["Transform"]

_TO_TENSOR = frozenset({"ToTensor", "MaybeToTensor", "PILToTensor", "MaybePILToTensor", "ConvertImageDtype"})

_MAX_ASPECT_RATIO = 64
"""Maximum ratio of a picture's sides before it is resized."""


@dataclass(frozen=True, slots=True)
class Transform:
    """`steps` turn an RGB picture into one of `size` x `size` pixels.

    `mean` and `deviation` normalise channels from 0 to 1. `crops` is true if the steps keep only the middle of a
    picture that is not square.
    """

    steps: tuple[Callable[[Any], Any], ...]
    size: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    crops: bool = False

    @classmethod
    def from_steps(cls, steps: Sequence[Callable[[Any], Any]], size: int) -> Transform:
        """Split a library's steps at the one that converts pictures to tensors.

        Raises:
            UsageError: the steps are of an unsupported kind.
        """
        names = [type(step).__name__ for step in steps]
        split = next((index for index, name in enumerate(names) if name in _TO_TENSOR), None)
        normalize = next((step for step, name in zip(steps, names, strict=True) if name == "Normalize"), None)
        if split is None or normalize is None:
            raise UsageError(f"The model's preprocessing is not supported: {', '.join(names)}.")
        mean, deviation = (_three(getattr(normalize, name)) for name in ("mean", "std"))
        crops = any(name.startswith("CenterCrop") for name in names[:split])
        return cls(tuple(steps[:split]), size, mean, deviation, crops)

    def prepare(self, image: Image.Image) -> Prepared:
        """Resize and crop an RGB picture to uint8 [size, size, 3]."""
        picture = image.convert("RGB")
        if self.crops:
            picture = _without_far_ends(picture)
        for step in self.steps:
            picture = step(picture)
        return np.array(picture, dtype=np.uint8)  # a copy, because torch expects writable arrays

    def normalized(self, pictures: Tensor, precision: torch.dtype) -> Tensor:
        """Convert uint8 [n, size, size, 3] to the network's input, [n, 3, size, size], channels last in memory."""
        scaled = pictures.permute(0, 3, 1, 2).float()  # keeps the memory layout, which is channels last
        mean, deviation = (
            torch.tensor(values, device=pictures.device).view(1, 3, 1, 1) * 255
            for values in (self.mean, self.deviation)
        )
        return ((scaled - mean) / deviation).to(precision)

    def described(self) -> str:
        """Return the numeric part of the preprocessing as text; the callers add the names of the steps."""
        mean, deviation = (",".join(f"{value:.4g}" for value in values) for values in (self.mean, self.deviation))
        return f"mean{mean}-deviation{deviation}"


def _without_far_ends(picture: Image.Image) -> Image.Image:
    """Crop a very long picture, because resizing its shorter side would make the longer one enormous."""
    width, height = picture.size
    longest = _MAX_ASPECT_RATIO * min(width, height)
    if max(width, height) <= longest:
        return picture
    left, top = max(width - longest, 0) // 2, max(height - longest, 0) // 2
    return picture.crop((left, top, width - left, height - top))


def _three(values: Any) -> tuple[float, float, float]:  # noqa: ANN401  # a number, a list or a tensor
    flat = [float(value) for value in torch.as_tensor(values).flatten()]
    red, green, blue = flat * 3 if len(flat) == 1 else flat
    return red, green, blue

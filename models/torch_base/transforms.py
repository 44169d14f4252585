"""The picture half of a library's preprocessing: what it does to a picture before that becomes numbers.

open_clip and timm give their preprocessing as a list of steps: those that resize and crop pictures, then those that
make a tensor and normalise it. The first run in loader threads on pictures, by the library's own code, so that nothing
can differ; the mean and deviation of the last are taken out of it and applied on the model's device.
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

_TO_NUMBERS = frozenset({"ToTensor", "MaybeToTensor", "PILToTensor", "MaybePILToTensor", "ConvertImageDtype"})

_THINNEST = 64
"""How many times as long as wide a picture is resized, at most."""


@dataclass(frozen=True, slots=True)
class Transform:
    """`steps` turn an RGB picture into one of `size` x `size`; `mean` and `deviation` are of channels from 0 to 1.

    `crops` says that the steps keep only the middle of a picture that is not square.
    """

    steps: tuple[Callable[[Any], Any], ...]
    size: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    crops: bool = False

    @classmethod
    def of(cls, steps: Sequence[Callable[[Any], Any]], size: int) -> Transform:
        """Split a library's steps where pictures become numbers.

        Raises:
            UsageError: they are not of the usual kind.
        """
        names = [type(step).__name__ for step in steps]
        split = next((place for place, name in enumerate(names) if name in _TO_NUMBERS), None)
        normalize = next((step for step, name in zip(steps, names, strict=True) if name == "Normalize"), None)
        if split is None or normalize is None:
            raise UsageError(f"The model's preprocessing is of a kind that is not supported: {', '.join(names)}.")
        mean, deviation = (_three(getattr(normalize, name)) for name in ("mean", "std"))
        crops = any(name.startswith("CenterCrop") for name in names[:split])
        return cls(tuple(steps[:split]), size, mean, deviation, crops)

    def prepare(self, image: Image.Image) -> Prepared:
        """Resize and crop one RGB picture: uint8 [size, size, 3]."""
        picture = image.convert("RGB")
        if self.crops:
            picture = _middle(picture)
        for step in self.steps:
            picture = step(picture)
        return np.array(picture, dtype=np.uint8)  # a copy: torch wants arrays it may write to

    def normalized(self, pictures: Tensor, precision: torch.dtype) -> Tensor:
        """Turn uint8 [n, size, size, 3] into what the network takes: [n, 3, size, size], channels last in memory."""
        scaled = pictures.permute(0, 3, 1, 2).float()  # keeps the layout: a view of channels-last memory
        mean, deviation = (
            torch.tensor(values, device=pictures.device).view(1, 3, 1, 1) * 255
            for values in (self.mean, self.deviation)
        )
        return ((scaled - mean) / deviation).to(precision)

    def described(self) -> str:
        """Say the part of it that numbers decide, for comparing; the steps are named by who makes them."""
        mean, deviation = (",".join(f"{value:.4g}" for value in values) for values in (self.mean, self.deviation))
        return f"mean{mean}-deviation{deviation}"


def _middle(picture: Image.Image) -> Image.Image:
    """Cut the far ends off a very long picture: resizing its shorter side would make the longer one enormous."""
    width, height = picture.size
    longest = _THINNEST * min(width, height)
    if max(width, height) <= longest:
        return picture
    left, top = max(width - longest, 0) // 2, max(height - longest, 0) // 2
    return picture.crop((left, top, width - left, height - top))


def _three(values: Any) -> tuple[float, float, float]:  # noqa: ANN401  # a number, a list or a tensor
    flat = [float(value) for value in torch.as_tensor(values).flatten()]
    red, green, blue = flat * 3 if len(flat) == 1 else flat
    return red, green, blue

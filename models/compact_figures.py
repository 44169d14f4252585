"""The figures `compact` adds to its two networks, as shipped in `compact.npz`: means, projections, class embeddings."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from data.errors import WeightsUnavailable

__all__ = ["CompactFigures"]


@dataclass(frozen=True, slots=True)
class CompactFigures:
    """All float32.

    `visual_mean` [1512] and `visual_projection` [1512, 256] take what the picture network sees to the visual part;
    `neutral_scores` [1000] are the class scores of plain shapes; `text_mean` [384] and `text_projection` [384, 245]
    take a unit text vector to the semantic part, where `class_rows` [1000, 245] are the ImageNet classes;
    `colour_mean` [11] is the average of the colours of pictures.
    """

    visual_mean: Tensor
    visual_projection: Tensor
    neutral_scores: Tensor
    text_mean: Tensor
    text_projection: Tensor
    class_rows: Tensor
    colour_mean: Tensor

    def to(self, device: torch.device) -> CompactFigures:
        """Move them to a device."""
        return CompactFigures(*(getattr(self, field.name).to(device) for field in fields(self)))

    def to_bytes(self) -> bytes:
        """Write an .npz: vectors as they are, matrices as int8 with one float32 step a column."""
        arrays: dict[str, np.ndarray] = {}
        for field in fields(self):
            values = getattr(self, field.name).numpy()
            if values.ndim == 2:
                steps = np.abs(values).max(axis=0) / 127
                arrays[f"{field.name}.steps"] = steps.astype(np.float32)
                values = np.rint(values / steps).astype(np.int8)
            arrays[field.name] = values
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]  # the stub takes the names for options
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> CompactFigures:
        """Read an .npz that `to_bytes` wrote.

        Raises:
            WeightsUnavailable: it is something else.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                found = {
                    field.name: arrays[field.name].astype(np.float32) * arrays.get(f"{field.name}.steps", np.float32(1))
                    for field in fields(cls)
                }
        except (KeyError, ValueError, zipfile.BadZipFile) as error:
            raise WeightsUnavailable(f"The figures of the model cannot be read: {error}.") from error
        return cls(**{name: torch.from_numpy(values) for name, values in found.items()})

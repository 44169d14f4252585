"""The figures of `compact`, shipped in `compact.npz`: means, projections and class embeddings beside its networks."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Generic, TypeVar

import numpy as np

from lookalike.data.errors import WeightsUnavailable
from lookalike.models.vectors import Matrix

__all__ = ["ClassFigures", "CompactFigures"]

ArrayT = TypeVar("ArrayT")
OtherT = TypeVar("OtherT")


@dataclass(frozen=True)
class ClassFigures(Generic[ArrayT]):
    """The figures that are made without captions: float32 arrays of NumPy, or tensors of torch (`mapped`).

    `visual_mean` [1512] and `visual_projection` [1512, 256] map the picture network's outputs to the visual part.
    `neutral_scores` [1000] are the class scores of plain shapes. `text_mean` [384] and `text_projection` [384, 245] map
    a unit text vector to the space of `class_rows` [1000, 245], the embeddings of the ImageNet classes. `colour_mean`
    [11] is the average colour part of pictures.
    """

    visual_mean: ArrayT
    visual_projection: ArrayT
    neutral_scores: ArrayT
    text_mean: ArrayT
    text_projection: ArrayT
    class_rows: ArrayT
    colour_mean: ArrayT

    def without_head(self) -> ClassFigures[ArrayT]:
        """Return the figures without those that need captions."""
        return ClassFigures(**{field.name: getattr(self, field.name) for field in fields(ClassFigures)})

    def mapped(self, function: Callable[[ArrayT], OtherT]) -> ClassFigures[OtherT]:
        """Return the figures with a function applied to each, such as `torch.from_numpy`."""
        return ClassFigures(**{field.name: function(getattr(self, field.name)) for field in fields(ClassFigures)})


@dataclass(frozen=True)
class CompactFigures(ClassFigures[ArrayT]):
    """All figures.

    `drawing_rows` [m, 256] are the visual parts of the m captioned pictures that the head was trained on;
    `drawing_words` [m, 192] are their weights in the kernel regression, and `drawing_offset` [192] is its average
    output. `word_projection` [384, 192] maps a unit text vector, minus `text_mean`, to the same space. `picture_joint`
    and `text_joint` [437, 245] project the concatenation of class words and drawing words to the semantic part.
    """

    drawing_rows: ArrayT
    drawing_words: ArrayT
    drawing_offset: ArrayT
    word_projection: ArrayT
    picture_joint: ArrayT
    text_joint: ArrayT

    def mapped(self, function: Callable[[ArrayT], OtherT]) -> CompactFigures[OtherT]:
        """Return the figures with a function applied to each, such as `torch.from_numpy`."""
        return CompactFigures(**{field.name: function(getattr(self, field.name)) for field in fields(self)})

    def to_bytes(self) -> bytes:
        """Return an .npz file: vectors as float32, matrices as int8 with one float32 step for each column."""
        arrays: dict[str, np.ndarray] = {}
        for field in fields(self):
            values = np.asarray(getattr(self, field.name))
            if values.ndim == 2:
                steps = np.abs(values).max(axis=0) / 127
                arrays[f"{field.name}.steps"] = steps.astype(np.float32)
                values = np.rint(values / steps).astype(np.int8)
            arrays[field.name] = values
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]  # the stub mistakes the names for options
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> CompactFigures[Matrix]:
        """Read an .npz file that `to_bytes` wrote.

        Raises:
            WeightsUnavailable: the content is not such a file.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                return CompactFigures(
                    **{
                        field.name: arrays[field.name].astype(np.float32)
                        * arrays.get(f"{field.name}.steps", np.float32(1))
                        for field in fields(cls)
                    }
                )
        except (KeyError, ValueError, zipfile.BadZipFile) as error:
            raise WeightsUnavailable(f"The figures of the model cannot be read: {error}.") from error

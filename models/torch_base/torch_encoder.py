"""Base class of the torch encoders: device, precision, batches, locks and unit rows.

A model adds only its forward passes.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lookalike.data.errors import ModalityUnsupported, UsageError
from lookalike.models.base import FEW_CHARACTERS, Modality, ModelSpec, Prepared
from lookalike.models.lazy import Lazy
from lookalike.models.torch_base.batches import pictures_per_batch
from lookalike.models.vectors import Matrix, unit_rows

__all__ = ["TorchEncoder", "Tower", "keep_freed_memory", "pick_device", "precision_on"]

TEXTS_PER_BATCH = 64

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_KEPT_BYTES = 1 << 27

PartT = TypeVar("PartT")
InputT = TypeVar("InputT")


class Tower(Generic[PartT]):
    """A part of a model that is loaded at first use and run by one thread at a time.

    A single forward pass uses all processors, and several at once would slow each other down. Threads that run on a
    single processor each (`use_threads(1)`) run side by side.
    """

    def __init__(self, load: Callable[[], PartT]) -> None:
        self._part = Lazy(load)
        self._lock = threading.Lock()

    @property
    def loaded(self) -> bool:
        """Whether the part has been loaded."""
        return self._part.made

    @contextmanager
    def use(self) -> Iterator[PartT]:
        """Yield the loaded part, for the calling thread alone if it runs on several processors."""
        if torch.get_num_threads() > 1:
            with self._lock:
                yield self._part.get()
        else:
            yield self._part.get()


class TorchEncoder(ABC):
    """An `Encoder` whose forward passes are written in torch."""

    def __init__(self, spec: ModelSpec, device: torch.device) -> None:
        self._spec = spec
        self.device = device
        self._pictures_per_batch: int | None = None
        if device.type == "cpu":
            keep_freed_memory()

    @property
    def spec(self) -> ModelSpec:
        """The model's description."""
        return self._spec

    @property
    def shares_processors(self) -> bool:
        """Whether the model runs on the same processors that load pictures, rather than on a GPU."""
        return self.device.type == "cpu"

    def use_threads(self, count: int) -> None:
        """Run on `count` processors from now on when called from the current thread."""
        torch.set_num_threads(count)

    @abstractmethod
    def prepare(self, image: Image.Image) -> Prepared:
        """Resize and crop an RGB picture to uint8 [input_size, input_size, 3]."""

    @abstractmethod
    def _picture_rows(self, pictures: Tensor) -> Tensor:
        """Encode uint8 [n, input_size, input_size, 3] on `device` as float32 rows [n, spec.dim], not normalised."""

    def _text_rows(self, texts: Sequence[str]) -> Tensor:
        """Encode texts as float32 rows [n, spec.dim] in the space of pictures, not normalised."""
        raise NotImplementedError

    def _title_rows(self, texts: Sequence[str]) -> Tensor:
        """Encode texts for comparison with texts as float32 rows [n, spec.title_dim], not normalised."""
        raise NotImplementedError

    def _text_and_title_rows(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return the rows of `_text_rows` and of `_title_rows`; a model that runs one network for both overrides it."""
        return self._text_rows(texts), self._title_rows(texts)

    def encode_images(self, images: Sequence[Image.Image]) -> Matrix:
        """Encode RGB pictures as unit float32 rows, shape [len(images), spec.dim]."""
        return self.encode_prepared([self.prepare(image) for image in images])

    def encode_prepared(self, batch: Sequence[Prepared]) -> Matrix:
        """Encode prepared pictures as unit float32 rows, shape [len(batch), spec.dim]."""

        def run(pictures: Sequence[Prepared]) -> Tensor:
            return self._picture_rows(torch.from_numpy(np.stack(pictures)).to(self.device))

        if self._pictures_per_batch is None:
            self._pictures_per_batch = pictures_per_batch(self.spec.input_size, self.device)
        rows, self._pictures_per_batch = self._in_batches(run, batch, self._pictures_per_batch, self.spec.dim)
        return unit_rows(rows)

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Encode descriptions of pictures as unit float32 rows in the space of pictures, shape [len(texts), spec.dim].

        Raises:
            ModalityUnsupported: the model reads no text.
        """
        self._check_reads_texts()
        with _threads_for(texts):
            return unit_rows(self._in_batches(self._text_rows, texts, TEXTS_PER_BATCH, self.spec.dim)[0])

    def encode_texts_and_titles(self, texts: Sequence[str]) -> tuple[Matrix, Matrix]:
        """Return what `encode_texts` and `encode_titles` return, from one run of the text network.

        Raises:
            ModalityUnsupported: the model reads no text.
        """
        self._check_reads_texts()
        widths = self.spec.dim, self.spec.title_dim

        def run(some: Sequence[str]) -> Tensor:
            return torch.cat([part.float() for part in self._text_and_title_rows(some)], dim=1)

        with _threads_for(texts):
            rows = self._in_batches(run, texts, TEXTS_PER_BATCH, sum(widths))[0]
        return unit_rows(rows[:, : widths[0]]), unit_rows(rows[:, widths[0] :])

    def notices_about(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Return notices about texts that are not read as written; there are none for a model that reads them whole."""
        return ()

    def encode_titles(self, texts: Sequence[str]) -> Matrix:
        """Encode texts for comparison with other texts, as unit float32 rows of shape [len(texts), spec.title_dim].

        Raises:
            ModalityUnsupported: the model reads no text.
        """
        self._check_reads_texts()
        with _threads_for(texts):
            return unit_rows(self._in_batches(self._title_rows, texts, TEXTS_PER_BATCH, self.spec.title_dim)[0])

    def _check_reads_texts(self) -> None:
        if Modality.TEXT not in self.spec.modalities:
            raise ModalityUnsupported(
                f"This catalogue has no text model: {self.spec.name} reads only pictures.",
                remedy="Search by picture, or use a model that reads text and keep this one in a second space for how "
                f"items look: lookalike reencode CATALOG --model clip --appearance {self.spec.name}",
            )

    def _in_batches(
        self, run: Callable[[Sequence[InputT]], Tensor], inputs: Sequence[InputT], size: int, dim: int
    ) -> tuple[Matrix, int]:
        """Run over all inputs, `size` at a time or fewer if memory runs out; return the rows and the final size."""
        rows = np.zeros((len(inputs), dim), dtype=np.float32)
        start = 0
        with torch.inference_mode():
            while start < len(inputs):
                try:
                    part = run(inputs[start : start + size]).float().cpu().numpy()
                except torch.OutOfMemoryError as error:
                    if size == 1:
                        raise UsageError(
                            f"The model {self.spec.name} does not fit into the memory of {self.device}.",
                            remedy="Use the CPU.",
                        ) from error
                    size = min(size, len(inputs) - start) // 2 or 1
                else:
                    rows[start : start + size] = part
                    start += size
                    continue
                torch.cuda.empty_cache()  # here, because the exception no longer refers to the failed pass
        return rows, size


@contextmanager
def _threads_for(texts: Sequence[str]) -> Iterator[None]:
    """Run on one processor where a second would cost more than it saves: a few short texts, as in a query."""
    before = torch.get_num_threads()
    if before == 1 or sum(map(len, texts)) > FEW_CHARACTERS:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def keep_freed_memory() -> None:
    """Make glibc keep the memory that torch frees between two layers, instead of returning it to the kernel.

    The kernel provides memory page by page, zeroed. For the activations of a batch that takes longer than computing
    them: EfficientNet-Lite0 went from 110 to 290 pictures a second on two cores. On systems other than Linux with glibc
    this has no effect.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            libc = ctypes.CDLL(None)
            libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
            libc.mallopt(_M_TRIM_THRESHOLD, 2 * _KEPT_BYTES)


def pick_device(name: str) -> torch.device:
    """Return the torch device of a name: "auto" (CUDA if available), "cpu", "cuda" or "cuda:1".

    Raises:
        UsageError: there is no device of that name, or this machine lacks it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"There is no device named {name!r}.", remedy="Use auto, cpu or cuda.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            f"The device {name!r} is not available: torch finds no CUDA on this machine.", remedy="Use auto or cpu."
        )
    return device


def precision_on(device: torch.device) -> torch.dtype:
    """Return float16 on CUDA, where it is faster, and float32 on a CPU, where float16 would be slower."""
    return torch.float16 if device.type == "cuda" else torch.float32

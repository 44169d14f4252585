"""How many pictures a second the parts of indexing manage by themselves, and two loops that people write instead.

Every function runs in a process of its own, gets ready first, and returns the seconds of the work alone.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from lookalike.data.errors import NotAPicture
from lookalike.data.pictures.image_decoder import decode, read_bytes, reduced_side, thumbnail
from lookalike.models.base import Encoder, Prepared
from lookalike.models.load import load_encoder

__all__ = ["decode_only", "forward_only", "is_readable", "load_only", "loader_loop", "naive_loop", "step_seconds"]

Answer = TypeVar("Answer")

_LOADER_BATCH = 64
_WARM = 16
_TIMED_PICTURES = 96


def is_readable(path: Path) -> bool:
    """Say whether a file is a picture that can be decoded."""
    try:
        decode(read_bytes(path), min_side=1)
    except NotAPicture:
        return False
    return True


def forward_only(paths: Sequence[Path], model: str) -> float:
    """Run the model on pictures that are ready in memory, on all processors."""
    encoder = load_encoder(model)
    with ThreadPoolExecutor() as pool:
        ready = list(pool.map(lambda path: _load(path, encoder, keep=False), paths))
    encoder.encode_prepared(ready[:_WARM])
    started = time.perf_counter()
    encoder.encode_prepared(ready)
    return time.perf_counter() - started


def decode_only(paths: Sequence[Path], model: str) -> float:
    """Decode JPEGs at the smallest scale that the model's input allows, and nothing else: what libjpeg itself takes."""
    side = load_encoder(model).spec.input_size
    return _on_all_processors(lambda path: _libjpeg(path.read_bytes(), side), paths)


def step_seconds(paths: Sequence[Path], model: str) -> dict[str, float]:
    """Give the seconds of one processor that each step of indexing takes for a picture: means of some pictures.

    It is processor time, so that it says the same whatever else the machine does; of two times the lesser counts.
    """
    encoder = load_encoder(model)
    encoder.use_threads(1)
    side = encoder.spec.input_size
    some = paths[:: max(len(paths) // _TIMED_PICTURES, 1)][:_TIMED_PICTURES]
    seconds: dict[str, float] = {}

    def timed(step: str, work: Callable[[], Answer]) -> Answer:
        least = float("inf")
        for _ in range(2):
            started = time.thread_time()
            answer = work()
            least = min(least, time.thread_time() - started)
        seconds[step] = seconds.get(step, 0.0) + least / len(some)
        return answer

    ready = []
    for path in some:
        content = timed("read", partial(read_bytes, path))
        timed("hash", partial(hashlib.sha256, content))
        timed("libjpeg", partial(_libjpeg, content, side))
        picture = timed("decode", partial(decode, content, min_side=side)).rgb
        timed("thumbnail", partial(thumbnail, picture))
        ready.append(timed("prepare", partial(encoder.prepare, picture)))
    encoder.encode_prepared(ready[:_WARM])
    for start in range(0, len(ready), _WARM):
        timed("network", partial(encoder.encode_prepared, ready[start : start + _WARM]))
    return seconds


def load_only(paths: Sequence[Path], model: str) -> float:
    """Do all that indexing does with a picture before the model gets it: read, hash, decode, thumbnail, resize."""
    encoder = load_encoder(model)
    return _on_all_processors(lambda path: _load(path, encoder, keep=True), paths)


def naive_loop(paths: Sequence[Path], model: str) -> float:
    """Open, prepare and encode one picture after the other, as most tutorials do."""
    encoder = load_encoder(model)
    encoder.encode_prepared([_prepared(paths[0], encoder)])
    started = time.perf_counter()
    np.concatenate([encoder.encode_prepared([_prepared(path, encoder)]) for path in paths])
    return time.perf_counter() - started


def loader_loop(paths: Sequence[Path], model: str) -> float:
    """Prepare in worker processes of a torch DataLoader, encode in batches, as clip-retrieval does with open_clip."""
    encoder = load_encoder(model)
    encoder.encode_prepared([_prepared(paths[0], encoder)] * _WARM)
    loader = DataLoader(
        _Pictures(paths, encoder),
        batch_size=_LOADER_BATCH,
        num_workers=os.cpu_count() or 1,
        prefetch_factor=2,
        collate_fn=list,
        multiprocessing_context="fork",  # as on Linux by default, where nothing else was chosen
    )
    started = time.perf_counter()
    np.concatenate([encoder.encode_prepared(batch) for batch in loader])
    return time.perf_counter() - started


class _Pictures(Dataset[Prepared]):
    """Pictures opened and prepared by number."""

    def __init__(self, paths: Sequence[Path], encoder: Encoder) -> None:
        self._paths = paths
        self._encoder = encoder

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, place: int) -> Prepared:
        return _prepared(self._paths[place], self._encoder)


def _prepared(path: Path, encoder: Encoder) -> Prepared:
    """Open and prepare a picture as the loops of tutorials do: at its full size."""
    with Image.open(path) as image:
        return encoder.prepare(image.convert("RGB"))


def _load(path: Path, encoder: Encoder, *, keep: bool) -> Prepared:
    content = read_bytes(path)
    picture = decode(content, min_side=encoder.spec.input_size).rgb
    if keep:
        hashlib.sha256(content).digest()
        thumbnail(picture)
    return encoder.prepare(picture)


def _libjpeg(content: bytes, side: int) -> None:
    with Image.open(io.BytesIO(content)) as image:
        image.draft("RGB", (reduced_side(side),) * 2)
        image.load()


def _on_all_processors(work: Callable[[Path], object], paths: Sequence[Path]) -> float:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        work(paths[0])
        started = time.perf_counter()
        for _ in pool.map(work, paths):
            pass
        return time.perf_counter() - started

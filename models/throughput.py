"""Throughput of the parts of indexing, each by itself, and of two loops that people commonly write instead.

Each function is meant to run in a fresh process. It prepares first, and returns the duration of the work alone, in
seconds.
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

ResultT = TypeVar("ResultT")

_LOADER_BATCH = 64
_WARMUP = 16
_TIMED_PICTURES = 96


def is_readable(path: Path) -> bool:
    """Return whether a file is a picture that can be decoded."""
    try:
        decode(read_bytes(path), min_side=1)
    except NotAPicture:
        return False
    return True


def forward_only(paths: Sequence[Path], model: str) -> float:
    """Encode pictures that are already prepared in memory, on all processors."""
    encoder = load_encoder(model)
    with ThreadPoolExecutor() as pool:
        prepared = list(pool.map(lambda path: _load(path, encoder, keep=False), paths))
    encoder.encode_prepared(prepared[:_WARMUP])
    started = time.perf_counter()
    encoder.encode_prepared(prepared)
    return time.perf_counter() - started


def decode_only(paths: Sequence[Path], model: str) -> float:
    """Decode JPEGs at the smallest scale that the model's input allows; this is the time of libjpeg itself."""
    side = load_encoder(model).spec.input_size
    return _on_all_processors(lambda path: _libjpeg(path.read_bytes(), side), paths)


def step_seconds(paths: Sequence[Path], model: str) -> dict[str, float]:
    """Return the processor seconds that each step of indexing takes for a picture, averaged over a sample.

    Processor time does not depend on other load of the machine. Each step runs twice, and the shorter time counts.
    """
    encoder = load_encoder(model)
    encoder.use_threads(1)
    side = encoder.spec.input_size
    sample = paths[:: max(len(paths) // _TIMED_PICTURES, 1)][:_TIMED_PICTURES]
    seconds: dict[str, float] = {}

    def timed(step: str, work: Callable[[], ResultT]) -> ResultT:
        shortest = float("inf")
        for _ in range(2):
            started = time.thread_time()
            result = work()
            shortest = min(shortest, time.thread_time() - started)
        seconds[step] = seconds.get(step, 0.0) + shortest / len(sample)
        return result

    prepared = []
    for path in sample:
        content = timed("read", partial(read_bytes, path))
        timed("hash", partial(hashlib.sha256, content))
        timed("libjpeg", partial(_libjpeg, content, side))
        picture = timed("decode", partial(decode, content, min_side=side)).rgb
        timed("thumbnail", partial(thumbnail, picture))
        prepared.append(timed("prepare", partial(encoder.prepare, picture)))
    encoder.encode_prepared(prepared[:_WARMUP])
    for start in range(0, len(prepared), _WARMUP):
        timed("network", partial(encoder.encode_prepared, prepared[start : start + _WARMUP]))
    return seconds


def load_only(paths: Sequence[Path], model: str) -> float:
    """Run every step of indexing before the model: read, hash, decode, thumbnail, resize."""
    encoder = load_encoder(model)
    return _on_all_processors(lambda path: _load(path, encoder, keep=True), paths)


def naive_loop(paths: Sequence[Path], model: str) -> float:
    """Open, prepare and encode one picture after another, as most tutorials do."""
    encoder = load_encoder(model)
    encoder.encode_prepared([_prepared(paths[0], encoder)])
    started = time.perf_counter()
    np.concatenate([encoder.encode_prepared([_prepared(path, encoder)]) for path in paths])
    return time.perf_counter() - started


def loader_loop(paths: Sequence[Path], model: str) -> float:
    """Prepare in workers of a torch DataLoader and encode in batches, as clip-retrieval does with open_clip."""
    encoder = load_encoder(model)
    encoder.encode_prepared([_prepared(paths[0], encoder)] * _WARMUP)
    loader = DataLoader(
        _Pictures(paths, encoder),
        batch_size=_LOADER_BATCH,
        num_workers=os.cpu_count() or 1,
        prefetch_factor=2,
        collate_fn=list,
        multiprocessing_context="fork",  # the default on Linux
    )
    started = time.perf_counter()
    np.concatenate([encoder.encode_prepared(batch) for batch in loader])
    return time.perf_counter() - started


class _Pictures(Dataset[Prepared]):
    """Pictures opened and prepared by index."""

    def __init__(self, paths: Sequence[Path], encoder: Encoder) -> None:
        self._paths = paths
        self._encoder = encoder

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Prepared:
        return _prepared(self._paths[index], self._encoder)


def _prepared(path: Path, encoder: Encoder) -> Prepared:
    """Open and prepare a picture at its full size, as tutorials do."""
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

"""Batch sizes of the picture networks."""

from __future__ import annotations

import os
from pathlib import Path

import torch

__all__ = ["largest_batch", "pictures_per_batch"]

_ON_CPU, _ON_GPU = 16, 256
_NUMBERS_PER_PIXEL = 250
_BYTES_PER_NUMBER = 4
_SHARE_OF_FREE_MEMORY = 0.5


def pictures_per_batch(input_size: int, device: torch.device) -> int:
    """Return the batch size for pictures of `input_size` pixels a side, by the memory now free on the device.

    On a CPU more than 16 pictures are no faster; 256 keep a GPU busy.
    """
    if device.type == "cuda":
        free_bytes, _ = torch.cuda.mem_get_info(device)
        return largest_batch(input_size, free_bytes, _ON_GPU)
    return largest_batch(input_size, _free_memory_bytes(), _ON_CPU)


def largest_batch(input_size: int, free_bytes: int, most: int) -> int:
    """Return how many pictures certainly fit into half of the free memory: a power of two from 1 to `most`.

    The peak memory of a pass grows with the number of pixels. 250 values for each pixel is a generous estimate, and a
    batch that does not fit is halved.
    """
    bytes_per_picture = input_size**2 * _NUMBERS_PER_PIXEL * _BYTES_PER_NUMBER
    fitting = int(free_bytes * _SHARE_OF_FREE_MEMORY) // bytes_per_picture
    return min(most, 1 << max(fitting.bit_length() - 1, 0))


def _free_memory_bytes() -> int:
    """Return the available memory in bytes; where the system does not report it, half of the total, or 2 GiB."""
    try:
        with Path("/proc/meminfo").open(encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, OSError, ValueError):
        return 1 << 31

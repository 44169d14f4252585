"""The renderer of PDF that `guarded_child.py` runs. It imports nothing of this package."""

from __future__ import annotations

import struct

import pypdfium2

__all__ = ["render"]


def render(content: bytes, side: int) -> bytes:
    """Render the first page of a document, with a longer side of `side` pixels.

    The result is the width, the height and the number of pages as big-endian uint32, and then the pixels as BGR.
    """
    document = pypdfium2.PdfDocument(content)
    page = document[0]
    scale = side / max(*page.get_size(), 1.0)
    bitmap = page.render(scale=scale * (1 - 1 / side), rev_byteorder=False, prefer_bgrx=False)
    width, height, stride = bitmap.width, bitmap.height, bitmap.stride
    pixels = bytes(bitmap.buffer)
    parts = [struct.pack(">III", width, height, len(document))]
    for row in range(height):
        line = pixels[row * stride : row * stride + width * bitmap.n_channels]
        parts.append(line if bitmap.n_channels == 3 else bytes(value for value in line for _ in range(3)))
    return b"".join(parts)

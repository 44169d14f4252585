"""PDF documents, of which the first page is the picture, rendered by PDFium in a guarded process; an optional extra."""

from __future__ import annotations

import struct

from PIL import Image

from lookalike.data.errors import NotAPicture
from lookalike.data.pictures.guarded_process import GuardedProcess

__all__ = ["PAGE_SIDE", "first_page", "is_pdf"]

PAGE_SIDE = 1024
"""The longer side of a rendered page in pixels."""

_SIGNATURE = b"%PDF-"
_HEAD_BYTES, _BLANKS = 64, b"\xef\xbb\xbf\0 \t\r\n"
_MEMORY_BYTES = 512 * 1024**2
_HEAD = struct.Struct(">III")
_process = GuardedProcess("pdf_child.py", "pypdfium2", "pdf", "PDF", "PDF documents")


def is_pdf(content: bytes) -> bool:
    """Return whether a file is a PDF document; a byte order mark and blanks may precede its first line."""
    return content[:_HEAD_BYTES].lstrip(_BLANKS).startswith(_SIGNATURE)


def first_page(content: bytes, *, cpu_seconds: int = 10) -> tuple[Image.Image, tuple[str, ...]]:
    """Return the first page on white as RGB, its longer side `PAGE_SIDE` pixels, and notes in words.

    Raises:
        NotAPicture: the document is damaged or needs a password, takes too much time or memory, or the extra is not
            installed.
    """
    answer = _process.run(content, (PAGE_SIDE,), cpu_seconds=cpu_seconds, memory_bytes=_MEMORY_BYTES)
    width, height, pages = _HEAD.unpack_from(answer)
    if not (0 < width <= PAGE_SIDE and 0 < height <= PAGE_SIDE) or len(answer) != _HEAD.size + 3 * width * height:
        raise NotAPicture("The PDF cannot be rendered.")
    rgb = Image.frombytes("RGB", (width, height), answer[_HEAD.size :], "raw", "BGR")
    return rgb, (f"The PDF has {pages:,} pages; the first was taken.",) if pages > 1 else ()

"""SVG drawings, rasterised by a process that cannot open files or connections.

The rasteriser (resvg) opens the files that a drawing names, and its Python package has no option to forbid that. So
each drawing is passed to a separate process, `svg_child.py`, which gives up the right to open anything before it reads
the drawing; the operating system enforces that. Limits on time and memory end the process of a drawing that exceeds
them, and a drawing nested deeply enough to overflow the stack ends that process, not this one.
"""

from __future__ import annotations

import importlib.util
import io
import re
import signal
import subprocess
import sys
import zlib
from pathlib import Path

from PIL import Image

from lookalike.data.errors import NotAPicture
from lookalike.data.pictures.decode_memory import decode_memory

__all__ = ["DRAWING_SIDE", "MAX_DRAWING_BYTES", "draw", "is_drawing"]

DRAWING_SIDE = 1024
"""The longer side of a rasterised drawing in pixels."""

MAX_DRAWING_BYTES = 16 * 1024 * 1024
"""Maximum size of a drawing's text in bytes, after decompression."""

_MEMORY_BYTES = 512 * 1024**2
_WAIT_S = 60.0
_HEAD_BYTES = 64 * 1024
_GZIP = b"\x1f\x8b"
_GZIP_WINDOW = 31
_PROLOG = r"(?>\s+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^\[>]*(?>\[.*?\]\s*)?>)*+"
_ROOT = re.compile(rf"\ufeff?{_PROLOG}<(?:\w+:)?svg[\s>/]", re.DOTALL)
_ENCODING = re.compile(r"""<\?xml[^>]*\bencoding\s*=\s*["']([\w.-]+)["']""")
_ENCODINGS = ("utf-8", "utf8", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252")
_CHILD = Path(__file__).with_name("svg_child.py")


def is_drawing(content: bytes) -> bool:
    """Return whether the bytes are an SVG drawing, gzipped or not, by its root element."""
    head = content[:_HEAD_BYTES]
    if head.startswith(_GZIP):
        try:
            head = zlib.decompressobj(_GZIP_WINDOW).decompress(head, _HEAD_BYTES)
        except zlib.error:
            return False
    wide = _wide_encoding(head)
    text = head.decode(wide, "replace") if wide else head.decode("latin-1").removeprefix("\xef\xbb\xbf")
    return _ROOT.match(text) is not None


def draw(content: bytes, *, cpu_seconds: int = 10) -> Image.Image:
    """Rasterise an SVG on white to RGB, its longer side being `DRAWING_SIDE` pixels.

    Nothing is taken from other files: linked pictures, style sheets and fonts are left out, and with them any text that
    is not converted to outlines.

    Raises:
        NotAPicture: the drawing cannot be read, takes too much time or memory, or shows nothing, or the rasteriser is
            not installed.
    """
    package = importlib.util.find_spec("resvg_py")
    if package is None or package.origin is None:
        raise NotAPicture(
            "SVG drawings need an extra that is not installed.",
            unread="SVG drawings",
            remedy="Install it with: pip install 'lookalike[svg]'",
        )
    if importlib.util.find_spec("resource") is None:
        raise NotAPicture(
            "SVG drawings are not read on this system, which cannot keep them from opening files.",
            unread="SVG drawings",
            remedy="Convert them to PNG.",
        )
    folder, limits = str(Path(package.origin).parent.parent), (cpu_seconds, _MEMORY_BYTES)
    try:
        text = _text(content).encode()
        with decode_memory.reserve(_MEMORY_BYTES):
            done = subprocess.run(
                [sys.executable, "-I", "-S", str(_CHILD), folder, str(DRAWING_SIDE), *map(str, limits)],
                input=text,
                capture_output=True,
                timeout=_WAIT_S,
                env={},
                check=False,
            )
    except subprocess.TimeoutExpired as error:
        raise NotAPicture(f"The drawing was not rasterised within {_WAIT_S:.0f} seconds.") from error
    if done.returncode:
        raise NotAPicture(_failure_reason(done.returncode, done.stderr, cpu_seconds))
    with Image.open(io.BytesIO(done.stdout), formats=("PNG",)) as image:
        rgb = image.convert("RGB")
    if rgb.getextrema() == ((255, 255),) * 3:
        raise NotAPicture(
            "The drawing shows nothing; text that is not outlines, and pictures from other files, are not drawn."
        )
    return rgb


def _text(content: bytes) -> str:
    """Return the text of a drawing, decompressed to at most `MAX_DRAWING_BYTES` and decoded."""
    if content.startswith(_GZIP):
        unpacker = zlib.decompressobj(_GZIP_WINDOW)
        try:
            content = unpacker.decompress(content, MAX_DRAWING_BYTES + 1)
        except zlib.error as error:
            raise NotAPicture(f"The drawing is damaged ({error}).") from error
        if not unpacker.eof and len(content) <= MAX_DRAWING_BYTES:
            raise NotAPicture("The drawing is truncated.")
    if len(content) > MAX_DRAWING_BYTES:
        raise NotAPicture(f"The drawing is too large; at most {MAX_DRAWING_BYTES / 1e6:.0f} MB of SVG are read.")
    encoding = _wide_encoding(content)
    if encoding is None:
        named = _ENCODING.match(content[:200].decode("latin-1").removeprefix("\xef\xbb\xbf"))
        encoding = named[1].lower() if named else "utf-8"
        if encoding not in _ENCODINGS:
            raise NotAPicture(f"The drawing is encoded in {encoding}.", remedy="Save it as UTF-8.")
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise NotAPicture(f"The drawing is damaged: its text is not {encoding}.") from error


def _wide_encoding(content: bytes) -> str | None:
    return "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else None


def _failure_reason(code: int, stderr: bytes, cpu_seconds: int) -> str:
    if -code in (signal.SIGXCPU, signal.SIGKILL):
        return f"The drawing takes more than {cpu_seconds} seconds of processor time to render."
    if code < 0:
        return "The drawing is nested too deeply or needs too much memory."
    return f"The drawing cannot be rendered ({stderr.decode('utf-8', 'replace').strip()[:200] or 'no reason given'})."

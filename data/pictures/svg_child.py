"""The renderer of SVG that `guarded_child.py` runs. It imports nothing of this package."""

from __future__ import annotations

import resvg_py

__all__ = ["render"]


def render(drawing: bytes, side: int) -> bytes:
    """Rasterise a drawing, given as UTF-8; return a PNG whose longer side is `side` pixels."""
    png: bytes = resvg_py.svg_to_bytes(
        svg_string=drawing.decode(), width=side, height=side, dpi=96.0, background="white", skip_system_fonts=True
    )
    return png

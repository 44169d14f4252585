"""A value as error messages show it."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

__all__ = ["shown"]

_MOST = 60


def shown(value: object) -> str:
    """Return a value as Python writes it, cut to 60 characters; NumPy scalars and moments as people write them."""
    if isinstance(value, timedelta | np.datetime64 | np.timedelta64):
        return str(value)
    try:
        text = repr(value.item() if isinstance(value, np.generic) else value)
    except RecursionError:
        return f"a deeply nested {type(value).__name__}"
    return text if len(text) <= _MOST else text[: _MOST - 3] + "..."

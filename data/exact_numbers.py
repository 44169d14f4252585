"""Numbers that float64 rounds to, or across, a whole number.

Above 2**53 float64 does not hold every whole number, and close to a whole number it does not hold every fraction. A
comparison with whole numbers needs the number as it was given, so these functions keep it as a `Decimal`.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal

import numpy as np

__all__ = ["exact_number", "is_moved", "of_longdouble"]

_BEYOND = 2.0**64
"""No stored whole number is as large, so rounding decides nothing from here on."""

_ANY_DIGITS = Context(prec=50_000)
"""Enough for every digit of a long double."""


def is_moved(exact: Decimal, rounded: float) -> bool:
    """Return whether `rounded`, the float64 of a finite number, lies between other whole numbers than the number."""
    if abs(rounded) >= _BEYOND:
        return False
    return math.floor(exact) != math.floor(rounded) or math.ceil(exact) != math.ceil(rounded)


def exact_number(text: str) -> float | Decimal:
    """Read a decimal number, as a float where that lies between the same whole numbers, else as a Decimal.

    A number beyond float64 is infinite.

    Raises:
        ValueError: the text is not a number.
    """
    rounded = float(text)
    if not rounded.is_integer():  # infinite, or between the whole numbers that the number lies between
        return rounded
    exact = Decimal(text)
    return exact if is_moved(exact, rounded) else rounded


def of_longdouble(value: np.longdouble) -> float | Decimal:
    """Return a long double as a float where that holds it, else as a Decimal with all its digits."""
    rounded = float(value)
    if not math.isfinite(rounded) or np.longdouble(rounded) == value:
        return rounded
    numerator, denominator = value.as_integer_ratio()
    return _ANY_DIGITS.divide(Decimal(numerator), Decimal(denominator))

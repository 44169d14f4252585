r"""Strings of the filter language, in single or double quotes; `\%` and `\_` are left as they are for `like`."""

from __future__ import annotations

import re

from lookalike.data.errors import FilterError

__all__ = ["quoted", "unquoted"]

_TO_ESCAPE = re.compile(r'["\\\x00-\x1f\x7f\x85\u2028\u2029]')
_ESCAPED = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_NAMED = {
    '"': '"', "'": "'", "\\": "\\", "?": "?", "/": "/",
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "%": "\\%", "_": "\\_",
}  # fmt: skip


def quoted(text: str) -> str:
    """Return a text as a string of the filter language. Nothing else escapes texts."""
    return '"' + _TO_ESCAPE.sub(_escape, text) + '"'


def unquoted(string: str, *, position: int | None = None) -> str:
    """Return the text of a string of the filter language, which includes its quotes.

    Raises:
        FilterError: an escape is unknown, or the result is not valid text.
    """
    inner = string[1:-1]
    if "\\" not in inner:
        return _checked(inner, position)
    return _checked(_ESCAPED.sub(lambda found: _character(found, position), inner), position)


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return f"\\{character}" if character in '"\\' else f"\\u{ord(character):04x}"


def _character(found: re.Match[str], position: int | None) -> str:
    code = found[1] or found[2] or found[3]
    if code is None and found[4] in _NAMED:
        return _NAMED[found[4]]
    if code is None or int(code, 16) > 0x10FFFF:
        raise FilterError(rf"{found[0]} is not an escape; a backslash itself is written \\.", position=position)
    return chr(int(code, 16))


def _checked(text: str, position: int | None) -> str:
    if text.isascii():
        return text
    try:
        return text.encode("utf-16-le", "surrogatepass").decode(
            "utf-16-le"
        )  # joins pairs that were written as two escapes
    except UnicodeDecodeError:
        raise FilterError("A string of the filter is not valid text: half of a character.", position=position) from None

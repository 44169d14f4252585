r"""Patterns of `like`: `%` stands for any run of characters, `_` for any one; a backslash makes either plain."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

import polars as pl

from lookalike.data.errors import FilterError

__all__ = ["LikePattern"]

MAX_PATTERN_LENGTH = 1_000

_PARTS = re.compile(r"\\([%_\\])|([%_])|([^%_\\]+|\\)")
_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$#&~-]")


class _Wildcard(Enum):
    RUN = "%"
    ONE = "_"


@dataclass(frozen=True, slots=True)
class LikePattern:
    """A pattern split into plain texts and wildcards."""

    text: str
    pieces: tuple[str | _Wildcard, ...]

    @classmethod
    def read(cls, text: str) -> LikePattern:
        """Split the text of a pattern into pieces.

        Raises:
            FilterError: the pattern is too long.
        """
        if len(text) > MAX_PATTERN_LENGTH:
            raise FilterError(f"The pattern of like has {len(text)} characters; the most is {MAX_PATTERN_LENGTH}.")
        pieces: list[str | _Wildcard] = []
        for escaped, wildcard, plain in _PARTS.findall(text):
            last = pieces[-1] if pieces else None
            if wildcard:
                if wildcard == "_" or last is not _Wildcard.RUN:
                    pieces.append(_Wildcard(wildcard))
            elif isinstance(last, str):
                pieces[-1] = last + (escaped or plain)
            else:
                pieces.append(escaped or plain)
        return cls(text, tuple(pieces))

    @property
    def start(self) -> str | None:
        """The prefix that texts must have to match, if the pattern asks nothing else; otherwise None."""
        match self.pieces:
            case (_Wildcard.RUN,):
                return ""
            case (str(plain), _Wildcard.RUN):
                return plain
        return None

    def to_polars(self, operand: pl.Expr) -> pl.Expr:
        """Build the mask. Prefixes, suffixes, substrings and exact texts are matched without a regular expression."""
        match self.pieces:
            case ():
                return operand == ""
            case (_Wildcard.RUN,):
                return pl.when(operand.is_not_null()).then(True)
            case (str(plain),):
                return operand == pl.lit(plain)
            case (str(plain), _Wildcard.RUN):
                return operand.str.starts_with(plain)
            case (_Wildcard.RUN, str(plain)):
                return operand.str.ends_with(plain)
            case (_Wildcard.RUN, str(plain), _Wildcard.RUN):
                return operand.str.contains(plain, literal=True)
            case _:
                return operand.str.contains(self._expression())

    def describe(self, *, negated: bool = False) -> str:
        """Return the pattern in words, to follow the name of the field."""
        match self.pieces:
            case (_Wildcard.RUN,):
                return "is no text" if negated else "is any text"
            case (str(plain), _Wildcard.RUN):
                verb, verbs = "start with", "starts with"
            case (_Wildcard.RUN, str(plain)):
                verb, verbs = "end with", "ends with"
            case (_Wildcard.RUN, str(plain), _Wildcard.RUN):
                verb, verbs = "contain", "contains"
            case _:
                verb, verbs, plain = "match", "matches", self.text
        return f'does not {verb} "{plain}"' if negated else f'{verbs} "{plain}"'

    def _expression(self) -> str:
        """Return the pattern as a regular expression in Polars' dialect."""
        parts = {_Wildcard.RUN: ".*", _Wildcard.ONE: "."}
        inner = "".join(
            parts[piece] if isinstance(piece, _Wildcard) else _SPECIAL.sub(r"\\\g<0>", piece) for piece in self.pieces
        )
        return rf"(?s)\A{inner}\z"

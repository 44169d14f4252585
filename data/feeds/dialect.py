"""How a file of separated values is written: its encoding, its separator, and what stands above its header.

Candidates are tried on the beginning of the file, and the one that gives rows of equal length is taken.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from lookalike.data.counted import counted
from lookalike.data.feeds.header import may_name
from lookalike.data.feeds.text_encoding import encoding_of
from lookalike.data.feeds.text_file import feed_suffix, open_bytes

__all__ = ["SEPARATORS", "Dialect", "dialect_of", "lines_of"]

SEPARATORS = ",;\t|"
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}

_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_SAMPLE_CHARACTERS = 1 << 18
_SAMPLE_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class Dialect:
    """The codec, the separator, and the number of rows that are not blank above the header."""

    encoding: str
    separator: str
    above: int = 0

    @property
    def sentence(self) -> str:
        """The dialect in words."""
        above = f", below {counted(self.above, 'line')} that {'is' if self.above == 1 else 'are'} not part of the table"
        separator = _NAMES.get(self.separator, repr(self.separator))
        return f"Text in {self.encoding.upper()}, separated by {separator}{above if self.above else ''}."


def dialect_of(path: Path) -> Dialect:
    """Return the dialect of a file, judged by its first thousand rows."""
    encoding = encoding_of(path)
    with lines_of(path, encoding) as lines:
        text = lines.read(_SAMPLE_CHARACTERS)
        complete = not lines.read(1)
    first = text.splitlines()[0] if text.strip() else ""
    declared = _SEPARATOR_LINE.fullmatch(first)
    candidates = declared[1] if declared else SEPARATORS
    if feed_suffix(path) == ".tsv" and not declared:
        candidates = "\t" + SEPARATORS.replace("\t", "")
    best = max((_Candidate.read(text, one, complete) for one in candidates), key=lambda one: one.score)
    return Dialect(encoding, best.separator, best.header)


def lines_of(path: Path, encoding: str) -> io.TextIOWrapper:
    """Open a file of text for reading lines as they are; bytes that the codec cannot read become lone surrogates."""
    wide = encoding.startswith(("utf-16", "utf-32"))
    errors = "replace" if wide else "surrogateescape"
    return io.TextIOWrapper(open_bytes(path), encoding=encoding, errors=errors, newline="")


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A separator: how well it fits, and the number of rows above the header."""

    separator: str
    score: float
    header: int

    @classmethod
    def read(cls, text: str, separator: str, complete: bool) -> _Candidate:
        rows = list(islice(_rows(text, separator), _SAMPLE_ROWS))
        if not complete and len(rows) > 1:
            rows.pop()  # it may be cut short
        if not rows:
            return cls(separator, 0.0, 0)
        lengths = Counter(map(_length, rows))
        width = max(lengths, key=lambda length: (lengths[length] * (length > 1), length))
        header = next((place for place, row in enumerate(rows) if may_name(row, width)), 0)
        width = max(_length(rows[header]), 1)
        fitting = sum(_length(row) <= width for row in rows[header:] if _length(row) > width / 2)
        return cls(separator, fitting / len(rows) * (1 - 1 / width) if width > 1 else 0.0, header)


def _rows(text: str, separator: str) -> Iterator[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            continue
        if any(cell.strip() for cell in row):
            yield row


def _length(row: Sequence[str]) -> int:
    """Return the number of cells without empty ones at the end."""
    return next((count for count in range(len(row), 0, -1) if row[count - 1].strip()), 0)

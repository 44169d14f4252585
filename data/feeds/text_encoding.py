"""The encoding of a file of text: by its byte order mark, as UTF-8 if it is, or else guessed from its letters."""

from __future__ import annotations

import codecs
from pathlib import Path

from charset_normalizer import from_bytes

from lookalike.data.feeds.text_file import open_bytes

__all__ = ["encoding_of"]

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_GUESSED = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1257", "cp1255", "cp1256", "cp932", "gb18030", "big5"),
    *("cp949", "euc_jp", "mac_roman", "cp850", "koi8_r"),
)
"""Encodings that exports of shop systems and of Excel have, the most common first."""

_WESTERN = frozenset("àâäæçèéêëîïôöœùûüÿñßáíóúìòõãåøÀÂÄÆÇÈÉÊËÎÏÔÖŒÙÛÜÑÁÍÓÚÌÒÕÃÅØ€")
_CENTRAL = frozenset("ąćęłńśźżčďěňřšťůžőűáéíóöúüýĄĆĘŁŃŚŹŻČĎĚŇŘŠŤŮŽŐŰÁÉÍÓÖÚÜÝ€")

_SAMPLE_BYTES = 1 << 16
_CHUNK_BYTES = 1 << 20
_FEW_BAD_BYTES = 0.02


def encoding_of(path: Path) -> str:
    """Return the name of the codec that reads a file of text.

    A file that is UTF-8 except for a few bytes is UTF-8. Others are judged by a sample of the lines that are not ASCII,
    by `charset-normalizer`.
    """
    with open_bytes(path) as file:
        head = file.read(_SAMPLE_BYTES)
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    wide = _wide(head)
    if wide is not None:
        return wide
    lines, letters, bad = _not_ascii(path)
    if bad <= letters * _FEW_BAD_BYTES:
        return "utf-8"
    best = from_bytes(lines, cp_isolation=list(_GUESSED), threshold=0.5).best()
    name = best.encoding if best is not None else "cp1252"
    return _western_or_central(lines) if name in ("cp1250", "cp1252") else name


def _western_or_central(text: bytes) -> str:
    """Return which of two encodings that have almost the same letters fits a text better, by the letters in use."""
    west = sum(letter in _WESTERN for letter in text.decode("cp1252", "replace"))
    centre = sum(letter in _CENTRAL for letter in text.decode("cp1250", "replace"))
    return "cp1250" if centre > west else "cp1252"


def _wide(head: bytes) -> str | None:
    """Return the encoding of text in units of two or four bytes without a mark, in which most high bytes are zero."""
    if b"\x00" not in head:
        return None
    zeros = [head[place::4].count(0) * 4 / len(head) for place in range(4)]
    most = 0.5
    if zeros[2] > most and zeros[3] > most:
        return "utf-32-le"
    if zeros[0] > most and zeros[1] > most:
        return "utf-32-be"
    if zeros[1] > most and zeros[3] > most:
        return "utf-16-le"
    if zeros[0] > most and zeros[2] > most:
        return "utf-16-be"
    return None


def _not_ascii(path: Path) -> tuple[bytes, int, int]:
    """Return a sample of the lines that are not ASCII, the number of letters beyond ASCII, and of bad bytes."""
    sample = bytearray()
    letters = bad = 0
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    with open_bytes(path) as file:
        for line in file:
            for start in range(0, len(line), _CHUNK_BYTES):
                chunk = line[start : start + _CHUNK_BYTES]
                if chunk.isascii():
                    continue
                if len(sample) < _SAMPLE_BYTES:
                    sample += chunk[:_SAMPLE_BYTES]
                text = decoder.decode(chunk, final=start + _CHUNK_BYTES >= len(line))
                letters += sum(character > "\x7f" for character in text)
                bad += sum("\ud800" <= character <= "\udfff" for character in text)
    return bytes(sample), letters, bad

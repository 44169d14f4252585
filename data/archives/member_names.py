"""The encoding of names in a zip archive that are not marked as UTF-8."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["decoded_name", "encoding_of"]

_JAPANESE = re.compile(r"[\u3000-\u30ff\u4e00-\u9fff\uff01-\uff9f\u2010-\u203b\u25a0-\u266f\u00d7\u2160-\u217f]+")
_LETTERS = re.compile(r"[\u3041-\u30fe\u4e00-\u9fff]")


def decoded_name(name: bytes, encoding: str) -> str:
    """Return a name as text: as UTF-8 if it is valid UTF-8, else by the encoding of its archive."""
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode(encoding, "backslashreplace")


def encoding_of(names: Sequence[bytes]) -> str:
    """Return the encoding of the names of an archive that are not valid UTF-8: Shift-JIS if it fits all, else CP437.

    Accented letters of CP437 can be read as Japanese too. But Japanese letters come in runs, and accented ones singly.
    """
    try:
        texts = [name.decode("cp932") for name in names if not _is_utf8(name)]
    except UnicodeDecodeError:
        return "cp437"
    runs = re.findall(r"[^\x00-\x7f]+", "/".join(texts))
    is_japanese = all(map(_JAPANESE.fullmatch, runs)) and any(map(_LETTERS.search, runs))
    in_runs = sum(len(run) for run in runs if len(run) > 1)
    return "cp932" if is_japanese and in_runs * 2 > sum(map(len, runs)) else "cp437"


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True

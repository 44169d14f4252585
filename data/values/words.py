"""Cells of text: what is around a value and not part of it, the words for no value, and those for yes and no."""

from __future__ import annotations

import re

__all__ = ["bare", "boolean", "is_marked_as_text", "is_null"]

_INVISIBLE = "\ufeff\u200b\u200c\u200d\u200e\u200f\u2060"
_MARKS = frozenset("='")
_FORMULA = re.compile(r'="((?:[^"]|"")*)"')
_TEXT_MARK = re.compile(r"'(?=[\d+=@-])")

_NULLS = frozenset(
    {"", "null", "none", "na", "n/a", "n.a.", "nan", "nil", "-", "--", "–", "—", "<na>", "#n/a", "#value!", "#ref!"}
    | {"#div/0!", "#name?", "#null!", "#num!", "(null)", "\\n"}
)

_YES = frozenset(
    [
        "true",
        "yes",
        "ja",
        "oui",
        "sí",
        "si",
        "sim",
        "wahr",
        "vrai",
        "verdadero",
        "vero",
        "verdadeiro",
        "tak",
        "ano",
        "igen",
        "да",
        "是",
        "はい",
        "예",
    ]
)
_NO = frozenset(
    [
        "false",
        "no",
        "nein",
        "non",
        "não",
        "nao",
        "falsch",
        "faux",
        "falso",
        "nie",
        "ne",
        "nem",
        "нет",
        "否",
        "いいえ",
        "아니요",
    ]
)


def bare(cell: str) -> str:
    """Return the text of a cell without what spreadsheets put around it.

    Blanks and invisible characters at both ends are removed, and `="00123"` and `'00123`, by which spreadsheets mark
    text that looks like a number, become `00123`.

        >>> bare(' ="00123" '), bare("'00123"), bare("o'clock")
        ('00123', '00123', "o'clock")
    """
    text = cell.strip()
    if not text.isascii():
        text = text.strip(_INVISIBLE).strip()
    if text[:1] not in _MARKS:
        return text
    if text.startswith("=") and (match := _FORMULA.fullmatch(text)):
        return match[1].replace('""', '"').strip()
    if text.startswith("'") and _TEXT_MARK.match(text):
        return text[1:]
    return text


def is_marked_as_text(cell: str) -> bool:
    """Return whether a spreadsheet marked a cell as text, although it looks like a number."""
    text = cell.strip()
    return bool(_FORMULA.fullmatch(text) or _TEXT_MARK.match(text))


def is_null(text: str) -> bool:
    """Return whether a text stands for no value, such as an empty cell, "n/a" and "#REF!"."""
    return text.lower() in _NULLS


def boolean(text: str) -> bool | None:
    """Return what a word for yes or no means, in one of a dozen languages, or None if it is neither."""
    word = text.lower()
    return True if word in _YES else False if word in _NO else None

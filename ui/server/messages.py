"""The words about an error that callers over the network may read: never a path of the machine, never a traceback."""

from __future__ import annotations

from typing import Final, NamedTuple

from lookalike.data import errors

__all__ = ["UNEXPECTED", "PublicWords", "public_message", "public_words"]


class PublicWords(NamedTuple):
    """What is wrong and what to do next, as whole sentences; `remedy` is empty where there is no next step."""

    message: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}" if self.remedy else self.message


UNEXPECTED: Final = PublicWords("Something went wrong on the server.", "Look for the reason in the server's log.")

_SHOWN_AS_THEY_ARE: Final = (
    errors.UsageError,
    errors.NotAPicture,
    errors.ItemExists,
    errors.ItemNotFound,
    errors.CatalogBusy,
    errors.ModalityUnsupported,
)
"""Errors about the call, whose own words name nothing of the machine."""


def public_words(error: Exception) -> PublicWords:
    """Return the error's own words if they are about the call, and otherwise only what kind of error it is."""
    if isinstance(error, _SHOWN_AS_THEY_ARE):
        return PublicWords(error.message, error.remedy)
    if isinstance(error, errors.LookalikeError):
        return PublicWords((type(error).__doc__ or "").splitlines()[0], UNEXPECTED.remedy)
    return UNEXPECTED


def public_message(error: Exception) -> str:
    """Return the words as one text, for the page, whose visitors cannot install what reads a format."""
    if isinstance(error, errors.NotAPicture) and error.unread:
        return f"{error.unread} cannot be read here."
    return str(public_words(error))

"""What may be said of an error to someone who asks over the network: never a path of the machine, never a traceback."""

from __future__ import annotations

from lookalike.data import errors

__all__ = ["UNEXPECTED", "public_message"]

UNEXPECTED = "Something went wrong on the server; its log says what."

_SAID_AS_IT_IS = (
    errors.UsageError,
    errors.NotAPicture,
    errors.ItemExists,
    errors.ItemNotFound,
    errors.CatalogBusy,
    errors.ModalityUnsupported,
)


def public_message(error: Exception) -> str:
    """Say what is wrong: in the error's own words where it speaks of the call, else what kind of thing it is."""
    if isinstance(error, _SAID_AS_IT_IS):
        return str(error)
    if isinstance(error, errors.LookalikeError):
        return f"{(type(error).__doc__ or '').splitlines()[0]} The server's log says more."
    return UNEXPECTED

"""The exit code and the HTTP status of every error, in one table."""

from __future__ import annotations

from typing import Final

from lookalike.data import errors

__all__ = ["exit_code_of", "status_of"]

_FAILED: Final = 1
_USAGE: Final = 2

_TABLE: Final[tuple[tuple[type[errors.LookalikeError], int, int], ...]] = (
    # error class, exit code, HTTP status; the first row that matches counts
    (errors.ModalityUnsupported, _USAGE, 422),
    (errors.UsageError, _USAGE, 422),
    (errors.NotAPicture, _FAILED, 422),
    (errors.FeedError, _FAILED, 422),
    (errors.ItemNotFound, _FAILED, 404),
    (errors.CatalogNotFound, _FAILED, 404),
    (errors.CatalogExists, _FAILED, 409),
    (errors.ItemExists, _FAILED, 409),
    (errors.ModelMismatch, _FAILED, 409),
    (errors.CatalogBusy, _FAILED, 503),
    (errors.CatalogGone, _FAILED, 503),
    (errors.CatalogReadOnly, _FAILED, 403),
    (errors.WeightsUnavailable, _FAILED, 503),
    (errors.MissingDependency, _FAILED, 503),
    (errors.LookalikeError, _FAILED, 500),
)


def exit_code_of(error: errors.LookalikeError) -> int:
    """Return the exit code of the command line: 1 for a failure, 2 for a wrong call."""
    return next(code for kind, code, _ in _TABLE if isinstance(error, kind))


def status_of(error: errors.LookalikeError) -> int:
    """Return the HTTP status of an answer that reports `error`."""
    return next(status for kind, _, status in _TABLE if isinstance(error, kind))

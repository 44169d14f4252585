"""From an error to what a way in answers with: the one table of exit codes and HTTP statuses."""

from __future__ import annotations

from lookalike.data import errors

__all__ = ["exit_code_of", "status_of"]

FAILED, USAGE = 1, 2

_TABLE: tuple[tuple[type[errors.LookalikeError], int, int], ...] = (
    # error class, exit code, HTTP status; the first that fits counts
    (errors.ModalityUnsupported, USAGE, 422),
    (errors.UsageError, USAGE, 422),
    (errors.NotAPicture, FAILED, 422),
    (errors.FeedError, FAILED, 422),
    (errors.ItemNotFound, FAILED, 404),
    (errors.CatalogNotFound, FAILED, 404),
    (errors.CatalogExists, FAILED, 409),
    (errors.ItemExists, FAILED, 409),
    (errors.ModelMismatch, FAILED, 409),
    (errors.CatalogBusy, FAILED, 503),
    (errors.CatalogGone, FAILED, 503),
    (errors.CatalogReadOnly, FAILED, 403),
    (errors.WeightsUnavailable, FAILED, 503),
    (errors.MissingDependency, FAILED, 503),
    (errors.LookalikeError, FAILED, 500),
)


def exit_code_of(error: errors.LookalikeError) -> int:
    """Return the exit code of the command line: 1 failed, 2 wrongly used."""
    return next(code for kind, code, _ in _TABLE if isinstance(error, kind))


def status_of(error: errors.LookalikeError) -> int:
    """Return the HTTP status."""
    return next(status for kind, _, status in _TABLE if isinstance(error, kind))

"""Every error that Lookalike raises on purpose, as one tree.

    LookalikeError
    ├── UsageError                  the call is wrong: an option, a limit, or a combination of them
    │   ├── FilterError             a filter expression cannot be read or does not fit the fields
    │   └── FieldTypeError          a value does not fit the type of its field
    │       └── MisfitsRefused      stored values do not fit the new type of their field
    ├── NotAPicture                 bytes are not a picture, or are too large to decode
    │   └── FetchFailed             a picture's address is refused, or does not answer with a picture
    ├── FeedError                   a feed cannot be read at all (a bad row is `Rejected`, not an error)
    ├── CatalogError                something is wrong with the catalog itself
    │   ├── CatalogNotFound         there is no catalog at this address
    │   ├── CatalogExists           there is a catalog at this address already
    │   ├── CatalogGone             the folder was deleted or replaced while the catalog was open
    │   ├── CatalogBusy             another process is writing
    │   ├── CatalogReadOnly         the folder cannot be written to
    │   ├── CatalogDamaged          the records cannot be trusted
    │   ├── CatalogFormat           the catalog was written by a version that this one cannot read
    │   ├── ItemExists              an item with this key exists already
    │   ├── OriginalsMissing        pictures to encode again are not where they were read from
    │   ├── SyncRefused             a feed would remove more items than it may without being told to
    │   ├── BackupNotFound          there is no backup at this place, or not the requested snapshot
    │   ├── BackupDamaged           a backup is incomplete, or was changed after it was written
    │   └── ItemNotFound            there is no item with this key
    ├── StorageFailed               a file cannot be read or written: no space, no permission, a failing disk
    └── ModelError                  something is wrong with the model
        ├── ModelMismatch           the catalog was made with another model
        ├── MissingDependency       the model needs a package that is not installed
        ├── ModalityUnsupported     the model does not read texts (or pictures)
        └── WeightsUnavailable      the weights are not on this machine, or are not the expected ones

Each error has a `message`, which says what is wrong and where (file, row, field), and a `remedy`, which says what to do
next. Both are whole sentences; a remedy may end in a command after a colon, and is empty where there is no single next
step. `str(error)` joins the two, so that a traceback or a log loses nothing. The command line prints the remedy on a
line of its own, the REST API sends it as a field of the error, and the page shows it as a second sentence.
`ui/errors.py` maps each class to an exit code and an HTTP status.
"""

from __future__ import annotations

import copyreg

__all__ = [
    "BackupDamaged",
    "BackupNotFound",
    "CatalogBusy",
    "CatalogDamaged",
    "CatalogError",
    "CatalogExists",
    "CatalogFormat",
    "CatalogGone",
    "CatalogNotFound",
    "CatalogReadOnly",
    "FeedError",
    "FetchFailed",
    "FieldTypeError",
    "FilterError",
    "ItemExists",
    "ItemNotFound",
    "LookalikeError",
    "MisfitsRefused",
    "MissingDependency",
    "ModalityUnsupported",
    "ModelError",
    "ModelMismatch",
    "NotAPicture",
    "OriginalsMissing",
    "StorageFailed",
    "SyncRefused",
    "UsageError",
    "WeightsUnavailable",
]


class LookalikeError(Exception):
    """Base class of every error that Lookalike raises on purpose.

    `message` says what is wrong, `remedy` what to do next; the latter may be empty. `str(error)` is both.

    Example:
        >>> error = LookalikeError("There is no catalog at shop.", remedy="Make one with: lookalike index shop SOURCE")
        >>> print(error)
        There is no catalog at shop. Make one with: lookalike index shop SOURCE
    """

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}" if self.remedy else self.message

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle an error with all of its attributes, whatever its constructor takes."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class UsageError(LookalikeError):
    """The call is wrong: an option, a limit, or a combination of them."""


class FilterError(UsageError):
    """A filter expression cannot be read, or does not fit the catalog's fields.

    `position` is the character, counted from 0, at which reading stopped; None if the expression can be read.
    """

    def __init__(self, message: str, *, position: int | None = None, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.position = position


class FieldTypeError(UsageError):
    """A value does not fit the type of its field."""

    def __init__(self, message: str, *, field: str, expected: str, found: str, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.field = field
        self.expected = expected
        self.found = found


class MisfitsRefused(FieldTypeError):
    """Stored values do not fit the new type of their field."""

    def __init__(self, message: str, *, field: str, expected: str, found: str) -> None:
        remedy = 'Change them first, or pass misfits="null" to make them null.'
        super().__init__(message, field=field, expected=expected, found=found, remedy=remedy)


class NotAPicture(LookalikeError):
    """The bytes are not a picture, or are too large to decode.

    `unread` names the pictures of a format that this installation does not read, as a plural; it is empty if there is
    another cause.
    """

    def __init__(self, message: str, *, unread: str = "", remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.unread = unread


class FetchFailed(NotAPicture):
    """The address of a picture is refused, or does not answer with a picture.

    `temporary` is True if another attempt may succeed.
    """

    def __init__(self, message: str, *, temporary: bool = False, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.temporary = temporary


class FeedError(LookalikeError):
    """A feed cannot be read at all."""


class CatalogError(LookalikeError):
    """Something is wrong with the catalog itself."""


class CatalogNotFound(CatalogError):
    """There is no catalog at this address."""


class CatalogExists(CatalogError):
    """There is a catalog at this address already."""


class CatalogGone(CatalogError):
    """The folder of an open catalog was deleted, or another one is in its place."""


class CatalogBusy(CatalogError):
    """Another process is writing to the catalog."""


class CatalogReadOnly(CatalogError):
    """The catalog's folder cannot be written to: the catalog can be searched but not changed."""


class CatalogDamaged(CatalogError):
    """The catalog's records cannot be trusted."""


class CatalogFormat(CatalogError):
    """The catalog was written by a version that this one cannot read."""


class ItemExists(CatalogError):
    """The catalog has an item with this key already."""

    def __init__(self, key: str) -> None:
        super().__init__(f"The catalog has an item with the key {key!r} already.")
        self.key = key


class OriginalsMissing(CatalogError):
    """Pictures of the catalog cannot be encoded again, because their files are not where they were read from."""


class SyncRefused(CatalogError):
    """A feed would remove more items than it may without being told to."""


class BackupNotFound(CatalogError):
    """There is no backup at this place, or not the requested snapshot."""


class BackupDamaged(CatalogError):
    """A backup is incomplete, or was changed after it was written."""


class ItemNotFound(CatalogError):
    """The catalog has no item with this key."""

    def __init__(self, key: str) -> None:
        super().__init__(f"The catalog has no item with the key {key!r}.")
        self.key = key


class StorageFailed(LookalikeError):
    """A file cannot be read or written: there is no space, no permission, or the disk fails."""


class ModelError(LookalikeError):
    """Something is wrong with the model."""


class MissingDependency(ModelError):
    """The model needs a package that is not installed; `extra` is the extra of Lookalike that brings it."""

    def __init__(self, extra: str) -> None:
        super().__init__(
            "This model needs packages that are not installed.",
            remedy=f"Install them with: pip install 'lookalike[{extra}]'",
        )
        self.extra = extra


class ModelMismatch(ModelError):
    """The catalog was made with another model, and vectors of two models cannot be compared."""


class ModalityUnsupported(ModelError):
    """The model does not read this kind of query."""


class WeightsUnavailable(ModelError):
    """The model's weights are not on this machine, or are not the expected ones."""

"""Everything that can go wrong, as one tree; the message of each says what to do next.

    LookalikeError
    ├── UsageError                  the call is wrong: an option, a limit, a combination
    │   ├── FilterError             a filter expression that cannot be read or does not fit the fields
    │   └── FieldTypeError          a value that does not fit its field's type
    │       └── MisfitsRefused      stored values that do not fit the new type of their field
    ├── NotAPicture                 bytes that cannot be shown as a picture, or are too large to try
    │   └── FetchFailed             its address is refused, or does not answer with one
    ├── FeedError                   a feed that cannot be read at all (a bad row is `Rejected`, not an error)
    ├── CatalogError                the catalog itself
    │   ├── CatalogNotFound         there is none at that address
    │   ├── CatalogExists           there is one already
    │   ├── CatalogGone             its folder was deleted or replaced while it was open
    │   ├── CatalogBusy             another process is writing
    │   ├── CatalogReadOnly         its folder cannot be written to
    │   ├── CatalogDamaged          the records cannot be trusted
    │   ├── CatalogFormat           written by a version this one cannot read
    │   ├── ItemExists              an item of that key is there already
    │   ├── OriginalsMissing        pictures that should be encoded anew are not where they were read from
    │   ├── SyncRefused             more would be removed with a feed than may be unasked
    │   ├── BackupNotFound          there is no backup at that place, or not the snapshot asked for
    │   ├── BackupDamaged           a backup is incomplete, or was changed since it was written
    │   └── ItemNotFound            no item of that key
    ├── StorageFailed               a file cannot be read or written: no room, no permission, a failing disk
    └── ModelError                  the model
        ├── ModelMismatch           the catalog was made with another model
        ├── MissingDependency       the model needs a package that is not installed
        ├── ModalityUnsupported     the model does not read texts (or pictures)
        └── WeightsUnavailable      the weights are not on this machine, or are not the ones expected

Facts are attributes; `ui/errors.py` maps each class to an exit code and an HTTP status.
"""

from __future__ import annotations

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
    """Base of every error this project raises on purpose; `str(error)` is a sentence for people."""


class UsageError(LookalikeError):
    """The call is wrong: an option, a limit, or a combination of them."""


class FilterError(UsageError):
    """A filter expression that cannot be read, or that does not fit the catalog's fields.

    `position` is the character (from 0) where reading stopped, or None when the text reads but does not fit.
    """

    def __init__(self, message: str, *, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class FieldTypeError(UsageError):
    """A value that does not fit its field's type."""

    def __init__(self, message: str, *, field: str, expected: str, found: str) -> None:
        super().__init__(message)
        self.field = field
        self.expected = expected
        self.found = found


class MisfitsRefused(FieldTypeError):
    """Stored values that do not fit the new type of their field; `misfits` is the message without the next step."""

    def __init__(self, misfits: str, *, field: str, expected: str, found: str) -> None:
        advice = 'Change them first, or pass misfits="null" to make them null.'
        super().__init__(f"{misfits} {advice}", field=field, expected=expected, found=found)
        self.misfits = misfits


class NotAPicture(LookalikeError):
    """Bytes that cannot be shown as a picture, or that are too large to try."""


class FetchFailed(NotAPicture):
    """A picture's address that is refused, or that does not answer with a picture.

    `temporary` says that it may answer another time.
    """

    def __init__(self, message: str, *, temporary: bool = False) -> None:
        super().__init__(message)
        self.temporary = temporary


class FeedError(LookalikeError):
    """A feed that cannot be read at all."""


class CatalogError(LookalikeError):
    """Something about the catalog itself."""


class CatalogNotFound(CatalogError):
    """There is no catalog at that address."""


class CatalogExists(CatalogError):
    """There is a catalog at that address already."""


class CatalogGone(CatalogError):
    """The folder of an open catalog was deleted, or another one lies in its place."""


class CatalogBusy(CatalogError):
    """Another process is writing to the catalog."""


class CatalogReadOnly(CatalogError):
    """The catalog's folder cannot be written to: it can be searched, not changed."""


class CatalogDamaged(CatalogError):
    """The catalog's records cannot be trusted."""


class CatalogFormat(CatalogError):
    """The catalog was written by a version this one cannot read."""


class ItemExists(CatalogError):
    """The catalog has an item of that key already."""

    def __init__(self, key: str) -> None:
        super().__init__(f"The catalog has an item with the key {key!r} already.")
        self.key = key


class OriginalsMissing(CatalogError):
    """Pictures of the catalog cannot be encoded anew: what they were read from is not there."""


class SyncRefused(CatalogError):
    """More items would be removed with what a feed no longer has than may be unasked."""


class BackupNotFound(CatalogError):
    """There is no backup at that place, or not the snapshot that was asked for."""


class BackupDamaged(CatalogError):
    """A backup is incomplete, or was changed since it was written."""


class ItemNotFound(CatalogError):
    """The catalog has no item of that key."""

    def __init__(self, key: str) -> None:
        super().__init__(f"The catalog has no item with the key {key!r}.")
        self.key = key


class StorageFailed(LookalikeError):
    """A file cannot be read or written: there is no room, no permission, or the disk fails."""


class ModelError(LookalikeError):
    """Something about the model."""


class MissingDependency(ModelError):
    """The model needs a package that is not installed."""

    def __init__(self, extra: str) -> None:
        super().__init__(
            f"This model needs packages that are not installed. Install them with: pip install 'lookalike[{extra}]'"
        )
        self.extra = extra


class ModelMismatch(ModelError):
    """The catalog was made with another model; vectors of two models cannot be compared."""


class ModalityUnsupported(ModelError):
    """The model does not read this kind of query."""


class WeightsUnavailable(ModelError):
    """The model's weights are not on this machine, or are not the ones expected."""

"""Changes of fields as callers request them, checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lookalike.data.errors import UsageError
from lookalike.data.field_type import FieldType
from lookalike.data.shown_value import shown
from lookalike.retrieval.arguments import mapping_of, names_of
from lookalike.retrieval.store.field_changes import FieldChange

__all__ = ["kind_of", "planned"]


def planned(
    *,
    retype: Mapping[str, FieldType | str] | None,
    rename: Mapping[str, str] | None,
    drop: str | Iterable[str] | None,
    misfits: str,
) -> list[FieldChange]:
    """Return the changes that a call of `Catalog.change_fields` asks for.

    Raises:
        UsageError: a name or a type is not valid, or there is nothing to change.
    """
    if misfits not in ("refuse", "null"):
        raise UsageError(f"Values that do not fit can be refused or null, not {shown(misfits)}.")
    types = mapping_of(retype, "retype", '{"price": "float"}')
    new_names = mapping_of(rename, "rename", '{"colour": "color"}')
    names_of(list(new_names.values()))
    changes = [FieldChange(name, name, kind_of(kind)) for name, kind in types.items()]
    changes += [FieldChange(name, new_name) for name, new_name in new_names.items()]
    changes += [FieldChange(name, None) for name in names_of(drop) or ()]
    if not changes:
        raise UsageError("Name a field to change.")
    return changes


def kind_of(kind: FieldType | str) -> FieldType:
    """Return a field's type by its name.

    Raises:
        UsageError: there is no such type.
    """
    if not isinstance(kind, str) or kind not in list(FieldType):
        raise UsageError(f"The type is {shown(kind)}; it can be {', '.join(FieldType)}.")
    return FieldType(kind)

"""Changes of the fields themselves: declaring, retyping, renaming and dropping them. Each call is one commit.

Items that have a value of a changed field are rewritten, as by an update, and the field's earlier name and type are
kept: earlier states are read with the names, types and values that they had.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import orjson

from lookalike.data.counted import counted
from lookalike.data.errors import MisfitsRefused, UsageError
from lookalike.data.field_conversion import converted
from lookalike.data.field_type import FieldType
from lookalike.data.item import Json
from lookalike.retrieval.schema import Schema
from lookalike.retrieval.store import checksums, statements
from lookalike.retrieval.store.commits import Committing

__all__ = ["FieldChange", "FieldWriter", "FieldsChanged"]

_ITEMS_AT_ONCE = 5_000
_SHOWN_MISFITS = 3


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A change of one field: to another type, or to another name (None: the field is dropped)."""

    name: str
    new_name: str | None
    kind: FieldType | None = None

    def __str__(self) -> str:
        if self.new_name is None:
            return f"drop field {self.name}"
        if self.kind is not None:
            return f"change field {self.name} to {self.kind}"
        return f"rename field {self.name} to {self.new_name}"


@dataclass(frozen=True, slots=True)
class FieldsChanged:
    """The commit that changed fields, how many items it rewrote, and how many values it made null."""

    commit: int
    items: int
    nulled: int


@dataclass(slots=True)
class _Step:
    """A change with the type of the field before it and after it."""

    change: FieldChange
    before: FieldType
    after: FieldType
    misfits: int = 0
    shown: list[str] = field(default_factory=list)

    @property
    def widens(self) -> bool:
        """Whether whole numbers become numbers. Stored values are then valid as they are, for earlier states too."""
        same_name = self.change.new_name == self.change.name
        return same_name and (self.before, self.after) == (FieldType.INT, FieldType.FLOAT)


class FieldWriter(Committing):
    """Records whose fields can be changed."""

    def add_field(self, name: str, kind: FieldType) -> int:
        """Declare a field in one transaction; return its commit number.

        Raises:
            FieldTypeError: the field exists with another type.
        """
        with self._commit(f"add field {name}") as commit:
            self._put_schema(self.schema().extended({name: kind}))
        return commit.seq

    def add_fields(self, schema: Schema, *, summary: str) -> int:
        """Declare the fields of a schema that do not exist yet, in one transaction; return its commit number.

        Raises:
            FieldTypeError: a field exists with a type that cannot hold both.
        """
        with self._commit(summary) as commit:
            self._put_schema(schema)
        return commit.seq

    def change_fields(self, changes: Sequence[FieldChange], *, null_misfits: bool = False) -> FieldsChanged:
        """Change fields in one transaction: types first, then drops, then all renames together.

        With `null_misfits`, a value that does not fit its field's new type becomes null.

        Raises:
            UsageError: a field does not exist, is both dropped and changed, or its new name is another field's.
            FieldTypeError: values do not fit the new type; nothing is changed.
            CatalogBusy: another process kept writing for too long.
        """
        with self._commit("; ".join(map(str, changes))) as commit:
            steps = self._steps(changes)
            nulled = 0
            last = 0
            while items := self.items_after(last, _ITEMS_AT_ONCE, as_of=None):
                last = items[-1].id
                rows = []
                for item in items:
                    fields = {name: one for name, one in orjson.loads(item.fields).items() if one is not None}
                    touched = [_apply(step, fields, item.key) for step in steps]
                    if not any(touched):
                        continue
                    text = orjson.dumps({name: one for name, one in fields.items() if one is not None}).decode()
                    sum_ = checksums.of_item(item.id, item.key, item.title, text)
                    rows.append((item.title, text, commit.seq, sum_, item.id))
                self._to_history((row[-1] for row in rows), commit.seq)
                self._database.connection.executemany(statements.CHANGE_ITEM, rows)
                commit.updated += len(rows)
            for step in steps:
                nulled += step.misfits
                if step.misfits and not null_misfits:
                    raise _refusal(step)
                self._put_step(step, commit.seq)
        return FieldsChanged(commit.seq, commit.updated, nulled)

    def _steps(self, changes: Sequence[FieldChange]) -> list[_Step]:
        """Check the changes against the fields; return them as single steps, in an order that works."""
        fields = dict(self.schema())
        _check_together(changes, fields)
        steps = []
        for change in _in_order(changes, fields):
            before = fields.pop(change.name)
            after = change.kind or before
            if change.new_name is not None:
                if change.new_name in fields:
                    raise UsageError(
                        f"There is a field {change.new_name!r} already; drop or rename it in the same call."
                    )
                fields = dict(Schema({**fields, change.new_name: after}))
            if change.new_name != change.name or after is not before:
                steps.append(_Step(change, before, after))
        return steps

    def _put_step(self, step: _Step, seq: int) -> None:
        """Write the field's new state, and record its previous one."""
        connection, change = self._database.connection, step.change
        if change.new_name is None:
            connection.execute("DELETE FROM fields WHERE name = ?", (change.name,))
        else:
            row = (change.new_name, step.after, change.name)
            connection.execute("UPDATE fields SET name = ?, type = ? WHERE name = ?", row)
        if not step.widens:
            past = (seq, change.name, step.before, change.new_name)
            connection.execute("INSERT INTO field_changes VALUES (?, ?, ?, ?)", past)


def _check_together(changes: Sequence[FieldChange], fields: Collection[str]) -> None:
    """Refuse changes of fields that do not exist, and changes that contradict each other."""
    gone: set[str] = set()
    taken: set[str] = set()
    for change in sorted(changes, key=lambda one: one.new_name is not None):  # drops first
        if change.name not in fields or (change.new_name is None and change.name in gone):
            left = ", ".join(name for name in fields if name not in gone)
            raise UsageError(f"There is no field {change.name!r}; the fields are {left or 'none yet'}.")
        if change.new_name is None:
            gone.add(change.name)
        elif change.name in gone:
            raise UsageError(f"The field {change.name!r} cannot be both dropped and changed; leave one of them out.")
        elif change.new_name != change.name:
            if change.new_name in taken:
                raise UsageError(f"Two fields cannot both be renamed to {change.new_name!r}.")
            taken.add(change.new_name)


def _in_order(changes: Sequence[FieldChange], fields: Collection[str]) -> list[FieldChange]:
    """Return equivalent changes to be made one after another: types, drops, then renames.

    A rename comes after the one that frees its new name. In a cycle of renames, one field takes a spare name first.
    """
    ordered = [change for change in changes if change.new_name == change.name]
    ordered += [change for change in changes if change.new_name is None]
    renames = {one.name: one.new_name for one in changes if one.new_name not in (None, one.name)}
    used = {*fields, *renames.values()}
    while renames:
        name = next((name for name, new_name in renames.items() if new_name not in renames), None)
        if name is not None:
            ordered.append(FieldChange(name, renames.pop(name)))
            continue
        name = spare = next(iter(renames))
        while spare in used:
            spare += "_"
        ordered.append(FieldChange(name, spare))
        renames[spare] = renames.pop(name)
    return ordered


def _apply(step: _Step, fields: dict[str, Json], key: str) -> bool:
    """Change the field of one item if it has a value; return whether the item has to be rewritten."""
    change = step.change
    if fields.get(change.name) is None:
        return False
    value = fields.pop(change.name)
    if change.new_name is None:
        return True
    try:
        new = value if step.after is step.before else converted(value, step.before, step.after)
    except ValueError as error:
        new = None
        step.misfits += 1
        if len(step.shown) < _SHOWN_MISFITS:
            step.shown.append(f"{key} has {orjson.dumps(value).decode()}, which is {error}")
    else:
        if step.widens:
            fields[change.name] = value
            return False
    fields[change.new_name] = new
    return True


def _refusal(step: _Step) -> MisfitsRefused:
    more = f"; and {step.misfits - len(step.shown):,} more" if step.misfits > len(step.shown) else ""
    count = (
        f"{counted(step.misfits, 'value')} of the field {step.change.name!r} {'does' if step.misfits == 1 else 'do'}"
    )
    return MisfitsRefused(
        f"{count} not fit the new type {step.after}, so nothing was changed: {'; '.join(step.shown)}{more}.",
        field=step.change.name,
        expected=step.after.value,
        found=step.before.value,
    )

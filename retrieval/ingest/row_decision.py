"""The decision on a row whose pictures are loaded: add, update, leave or reject; for runs and dry runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import orjson

from lookalike.data.errors import FieldTypeError, LookalikeError
from lookalike.data.field_type import FieldType
from lookalike.data.item import CellWarning, Item, Rejected, Value
from lookalike.retrieval.ingest.described_item import described
from lookalike.retrieval.ingest.item_pictures import LoadedImage
from lookalike.retrieval.ingest.loader import Job, KnownItem
from lookalike.retrieval.input_checks import fields_json, with_fields_of
from lookalike.retrieval.schema import Schema
from lookalike.retrieval.store.ledger import Note, State
from lookalike.retrieval.stored_rows import ImageWrite, ItemWrite

__all__ = ["Decider", "Decision", "Fate"]


_SHOWN_CHARACTERS = 60


class Fate(StrEnum):
    """What to do about a row."""

    ADD = "add"
    UPDATE = "update"
    LEAVE = "unchanged"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision on an item; `write` is its new state, or None if it is rejected as a whole.

    `rejects` are its problems, each with the place of the picture (from 1), or 0 for the row itself.
    """

    fate: Fate
    item: Item
    known: KnownItem | None
    write: ItemWrite | None = None
    rejects: Sequence[tuple[int, Rejected]] = field(default=())

    def notes(self) -> list[Note]:
        """Return the entries for the ledger."""
        notes = [Note.of(one, part) for part, one in self.rejects]
        if self.fate is Fate.LEAVE and self.known is not None:
            notes.append(Note(self.item.row, self.item.key, State.UNCHANGED, item=self.known.row.id))
        elif self.write is not None:
            notes.append(Note(self.item.row, self.item.key, State.INDEXED))
        if self.fate is not Fate.REJECT:
            row, key = self.item.row, self.item.key
            notes += [Note.of_warning(row, key, place, one) for place, one in enumerate(self.item.warnings)]
        return notes


class Decider:
    """Decides row by row; `schema` has the fields of all rows so far, beside those that the catalog had."""

    def __init__(self, schema: Schema, *, restart: bool = False) -> None:
        self.schema = schema
        self._restart = restart

    def follow(self, schema: Schema) -> None:
        """Use the fields that the catalog has now, without those of earlier rows."""
        self.schema = schema

    def decide(self, job: Job, loaded: Sequence[LoadedImage]) -> Decision:
        """Decide on one item."""
        item = described(job.item, loaded)
        failed = [
            (place, Rejected(item.row, image.failed, item.key, image.source))
            for place, image in enumerate(loaded, start=1)
            if image.failed
        ]
        if len(failed) == len(loaded):
            return Decision(Fate.REJECT, item, job.known, rejects=[(0, failed[0][1]), *failed[1:]])
        try:
            try:
                write = self._write_of(item, job.known, loaded)
            except FieldTypeError:
                item = self._without_misfits(item)
                write = self._write_of(item, job.known, loaded)
        except LookalikeError as error:
            refused = Rejected(item.row, str(error), item.key)
            return Decision(Fate.REJECT, item, job.known, rejects=[*failed, (0, refused)])
        if job.known is None:
            return Decision(Fate.ADD, item, None, write, failed)
        fate = Fate.LEAVE if _is_unchanged(job.known, write) else Fate.UPDATE
        return Decision(fate, item, job.known, write, failed)

    def _without_misfits(self, item: Item) -> Item:
        """Return an item without the values that do not fit the types of their fields, and with warnings about them."""
        fields: dict[str, Value] = {}
        warnings = list(item.warnings)
        for name, value in item.fields.items():
            try:
                fields_json(with_fields_of(self.schema, {name: [value]}), {name: value})
                fields[name] = value
            except FieldTypeError as error:
                shown = value if isinstance(value, str) else repr(value)
                reason = f"this field holds {FieldType(error.expected).words}"
                warnings.append(CellWarning(name, shown[:_SHOWN_CHARACTERS], reason))
        return replace(item, fields=fields, warnings=tuple(warnings))

    def _write_of(self, item: Item, known: KnownItem | None, loaded: Sequence[LoadedImage]) -> ItemWrite:
        """Return an item's new state.

        Raises:
            FieldTypeError: a value does not fit its field's type.
        """
        schema = with_fields_of(self.schema, {name: [value] for name, value in item.fields.items()})
        fields = fields_json(schema, item.fields)
        self.schema = schema  # a refused row adds no fields
        images = [
            ImageWrite(
                image.source,
                image.sha256,
                image.width,
                image.height,
                image.vectors.get("image"),
                image.kept,
                image.vectors.get("looks"),
            )
            for image in loaded
            if not image.failed
        ]
        same_title = known is not None and known.row.title == item.title and not self._restart
        return ItemWrite(item.key, item.title, fields, images, not same_title and None)


def _is_unchanged(known: KnownItem, write: ItemWrite) -> bool:
    """Return whether an item in the records is equal to its new state."""
    images = write.images or ()
    return (
        known.row.title == write.title
        and [(image.kept, image.source) for image in images] == [(image.id, image.source) for image in known.images]
        and orjson.loads(known.row.fields) == orjson.loads(write.fields)
    )

"""The folder of a Hugging Face dataset as a table: either written by `save_to_disk`, or a folder of Parquet files.

It is read with Polars alone, and no code of the dataset is run. The layout and names are those of the `datasets`
library, and were compared with the output of version 5.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from lookalike.data.errors import FeedError
from lookalike.data.feeds.arrow_stream import arrow_batches, count_arrow_rows
from lookalike.data.feeds.table import Cell, Row, Table
from lookalike.data.feeds.table_feed import ROW_KEY
from lookalike.data.feeds.tables import holds_bytes, parquet_frames, rows_of
from lookalike.data.item import Rejected
from lookalike.data.record_files import is_record_file

__all__ = ["is_dataset", "open_dataset"]

_SPLIT = re.compile(r"(.+)-\d+-of-\d+(-[0-9a-f]+)?")
_SPLITS = "dataset_dict.json"
_STATE = "state.json"
_INFO = "dataset_info.json"
_COMPANIONS = (".md", ".json", ".txt", ".yaml", ".yml")
_OTHER_MEDIA = ("Audio", "Video", "Pdf", "Nifti")
_SPLIT_FIELD = "split"


@dataclass(frozen=True, slots=True)
class _Part:
    """One file of rows, the split it belongs to (if any), and the dataset's features by column name."""

    path: Path
    split: str | None
    features: Mapping[str, Any]

    def frames(self) -> Iterator[pl.DataFrame]:
        if self.path.suffix == ".arrow":
            return arrow_batches(self.path)
        return parquet_frames(self.path, pictures=True)

    def count(self) -> int:
        if self.path.suffix == ".arrow":
            return count_arrow_rows(self.path)
        return int(pl.scan_parquet(self.path).select(pl.len()).collect().item())

    def schema(self) -> Mapping[str, pl.DataType]:
        if self.path.suffix == ".arrow":
            return next(self.frames()).schema
        return pl.scan_parquet(self.path).collect_schema()


def is_dataset(files: Sequence[bytes]) -> bool:
    """Return whether a folder with these files is a dataset: it has state files, or holds nothing but Parquet data."""
    names = [file.decode("utf-8", "backslashreplace").lower() for file in files]
    if _SPLITS in names or _STATE in names:
        return True
    others = [name for name in names if not name.endswith(".parquet")]
    return len(others) < len(names) and all(name.endswith(_COMPANIONS) or name == "license" for name in others)


def open_dataset(folder: Path, files: Sequence[bytes]) -> Table:
    """Open a dataset with all its splits, one after the other, as one table.

    The column `split` is added if a file belongs to a split. The column `__key__` holds the split and the row's number
    within it, from 0, which is how the `datasets` library finds a row.

    Raises:
        FeedError: the dataset is incomplete or cannot be read.
    """
    try:
        parts = _parts(folder, files)
        schema: dict[str, pl.DataType] = {}
        for part in parts:
            for name, type_ in part.schema().items():
                schema.setdefault(name, type_)
        count = sum(part.count() for part in parts)
    except (OSError, pl.exceptions.PolarsError, orjson.JSONDecodeError) as error:
        raise FeedError(f"The dataset {folder.name!r} cannot be read: {error}") from error
    dropped = {name for part in parts for name, feature in part.features.items() if _kind(feature) in _OTHER_MEDIA}
    names = [name for name in schema if name not in dropped]
    splits = [_SPLIT_FIELD] if any(part.split for part in parts) and _SPLIT_FIELD not in schema else []
    pictures = tuple(name for name in names if holds_bytes(schema[name]))
    return Table((ROW_KEY, *names, *splits), count, {}, lambda: _rows(parts, dropped), pictures)


def _rows(parts: Sequence[_Part], dropped: set[str]) -> Iterator[Row | Rejected]:
    number = 0
    positions: dict[str | None, int] = {}
    for part in parts:
        labels = {name: names for name, feature in part.features.items() if (names := _label_names(feature))}
        try:
            for frame in part.frames():
                for row in rows_of(frame, number):
                    number = row.number
                    position = positions.get(part.split, 0)
                    positions[part.split] = position + 1
                    values: dict[str, Cell] = {_SPLIT_FIELD: part.split} if part.split else {}
                    values.update((name, value) for name, value in row.values.items() if name not in dropped)
                    for name, names in labels.items():
                        values[name] = _label_name(values.get(name), names)
                    values[ROW_KEY] = f"{part.split}/{position}" if part.split else str(position)
                    yield Row(number, values)
        except (FeedError, OSError, pl.exceptions.PolarsError) as error:
            number += 1
            yield Rejected(number, f"The rest of {part.path.name} cannot be read: {error}", source=part.path.name)


def _parts(folder: Path, files: Sequence[bytes]) -> list[_Part]:
    if (folder / _SPLITS).is_file():
        splits = _json(folder / _SPLITS).get("splits")
        return [part for split in _plain_names(splits, _SPLITS) for part in _saved(folder / split, split)]
    if (folder / _STATE).is_file():
        return _saved(folder, None)
    names = [file.decode("utf-8", "surrogateescape") for file in files]
    return [_parquet(folder / name) for name in names if name.lower().endswith(".parquet")]


def _saved(folder: Path, split: str | None) -> list[_Part]:
    """Return the data files of a dataset that `save_to_disk` wrote, in order."""
    state = _json(folder / _STATE)
    if state.get("_indices_data_files"):
        raise FeedError(
            f"{folder.name} is a selection of rows.", remedy="Save it again after dataset.flatten_indices()."
        )
    info = _json(folder / _INFO) if (folder / _INFO).is_file() else {}
    data_files = state.get("_data_files")
    found = [file.get("filename") if isinstance(file, dict) else None for file in data_files or ()]
    features = info.get("features") or {}
    return [_Part(folder / name, split, features) for name in _plain_names(found, _STATE)]


def _parquet(path: Path) -> _Part:
    match = _SPLIT.fullmatch(path.stem)
    embedded = pl.read_parquet_metadata(path).get("huggingface")
    info = orjson.loads(embedded).get("info", {}) if embedded else {}
    return _Part(path, match[1] if match else None, info.get("features") or {})


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FeedError(f"The dataset has no {path.parent.name}/{path.name}; it is incomplete.")
    if is_record_file(path):
        raise FeedError(f"{path.parent.name}/{path.name} is part of a catalog's records.")
    read = orjson.loads(path.read_bytes())
    if not isinstance(read, dict):
        raise FeedError(f"{path.parent.name}/{path.name} is not a JSON object.")
    return read


def _plain_names(names: object, where: str) -> list[str]:
    """Return the names that a dataset's own file lists, after checking that none can lead out of its folder."""
    if not isinstance(names, list) or not names:
        raise FeedError(f"{where} does not name any files.")
    for name in names:
        if not isinstance(name, str) or not re.fullmatch(r"[\w.\- ]+", name) or name.startswith("."):
            raise FeedError(f"{where} names {name!r}, which is not a file of the dataset.")
    return names


def _kind(feature: object) -> str:
    return str(feature.get("_type")) if isinstance(feature, dict) else ""


def _label_names(feature: object) -> list[str]:
    """Return the names of a class label or of a list of class labels; an empty list for other features."""
    if isinstance(feature, list):
        return _label_names(feature[0]) if feature else []
    if not isinstance(feature, dict):
        return []
    if _kind(feature) == "ClassLabel":
        return [str(name) for name in feature.get("names") or ()]
    return _label_names(feature.get("feature"))


def _label_name(value: Cell, names: Sequence[str]) -> Cell:
    """Return the name of a class label, or None for -1 (no label) and for numbers without a name."""
    if isinstance(value, list):
        return [name for label in value if isinstance(name := _label_name(label, names), str)]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None

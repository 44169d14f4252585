"""One call of every public method and property of a catalog of ready vectors, for tests that hold for all of them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lookalike import Catalog
from lookalike.data.errors import FeedError, ModalityUnsupported, UsageError
from lookalike.retrieval.spaces.space_sets import SpaceSets

DIM = 4
ROWS = np.random.default_rng(1).standard_normal((40, DIM)).astype(np.float32)
KEYS = [f"k{number}" for number in range(40)]

Call = Callable[[Catalog, Path], object]
"""A call of a catalog; the folder is for what it writes elsewhere."""


def make_catalog(folder: Path) -> Catalog:
    """Return a catalog with a generation, a tail, and a deleted item."""
    catalog = Catalog.create(folder, dim=DIM)
    catalog.add_vectors(KEYS[:30], ROWS[:30], {"price": list(range(30)), "brand": ["a", "b", "c"] * 10})
    catalog.optimize()
    catalog.add_vectors(KEYS[30:], ROWS[30:], {"price": list(range(30, 40))})
    catalog.delete(keys=["k5"])
    return catalog


def _new(folder: Path, suffix: str = "") -> Path:
    return folder / f"{uuid.uuid4().hex}{suffix}"


def _without_model(call: Callable[[], object]) -> None:
    with pytest.raises(ModalityUnsupported):
        call()


def _keep_queries(catalog: Catalog, folder: Path) -> int:
    path = _new(folder, ".csv")
    path.write_text("text,relevant\nred,k1\n")
    return catalog.keep_queries(path)


def _refused(call: Callable[[], object]) -> None:
    """Call what a catalog of ready vectors refuses, for that reason and no other."""
    try:
        call()
    except UsageError as error:
        if "ready vectors" in str(error) or "nothing to go back to" in str(error):
            return
        raise
    pytest.fail("a catalog of ready vectors has no models to change")


def _feed(folder: Path) -> Path:
    path = _new(folder, ".csv")
    path.write_text("key,image\na,gone.png\n")
    return path


def _evaluate(catalog: Catalog, folder: Path) -> None:
    path = _new(folder, ".csv")
    path.write_text("text,relevant\nred,k1\n")
    with pytest.raises(FeedError):
        catalog.evaluate(path)


def _exchange(catalog: Catalog, folder: Path) -> object:
    path = _new(folder, ".parquet")
    catalog.export(path, filter="price > 35")
    return catalog.import_parquet(path)


def _writer(catalog: Catalog, folder: Path) -> None:
    with catalog._core.writer():
        pass


def _change_sets(catalog: Catalog, folder: Path) -> str | None:
    return catalog._core.newest.change_sets(
        SpaceSets(catalog._core.file, version=catalog._core.sets.version), lambda: "not now"
    )


def _new_field(catalog: Catalog) -> str:
    name = f"f{uuid.uuid4().hex}"
    catalog.add_field(name, "int")
    return name


def _change_field(catalog: Catalog, folder: Path) -> object:
    return catalog.change_field(_new_field(catalog), "string")


def _rename_field(catalog: Catalog, folder: Path) -> object:
    return catalog.rename_field(_new_field(catalog), f"f{uuid.uuid4().hex}")


def _drop_field(catalog: Catalog, folder: Path) -> object:
    return catalog.drop_field(_new_field(catalog))


READS: dict[str, Call] = {
    "search": lambda catalog, _: catalog.search(vector=ROWS[0], filter='brand == "a"', limit=3),
    "search_many": lambda catalog, _: catalog.search_many(ROWS[:40], limit=3),
    "get": lambda catalog, _: catalog.get(["k1"]),
    "items": lambda catalog, _: list(catalog.items()),
    "keys": lambda catalog, _: catalog.keys(["k1", "none"]),
    "count": lambda catalog, _: catalog.count(filter="price < 10"),
    "facets": lambda catalog, _: catalog.facets(["brand"]),
    "log": lambda catalog, _: catalog.log(),
    "info": lambda catalog, _: catalog.info(),
    "name": lambda catalog, _: catalog.name,
    "path": lambda catalog, _: catalog.path,
    "models": lambda catalog, _: catalog.models,
    "schema": lambda catalog, _: catalog.schema,
    "reads_words": lambda catalog, _: catalog.reads_words,
    "reads_pictures": lambda catalog, _: catalog.reads_pictures,
    "has_appearance": lambda catalog, _: catalog.has_appearance,
    "check_models": lambda catalog, _: catalog.check_models(),
    "thumbnail": lambda catalog, _: catalog.thumbnail("ab" * 32),
    "encoder": lambda catalog, _: _without_model(lambda: catalog.encoder),
    "dry_run": lambda catalog, folder: list(catalog.dry_run(_feed(folder))),
    "feeds": lambda catalog, folder: catalog.feeds(_feed(folder)),
    "ledger_counts": lambda catalog, _: catalog.ledger_counts(),
    "count_to_retry": lambda catalog, _: catalog.count_to_retry("feed"),
    "evaluate": _evaluate,
    "kept_queries": lambda catalog, _: catalog.kept_queries(),
    "ledger": lambda catalog, _: list(catalog.ledger()),
    "measure_recall": lambda catalog, _: catalog.measure_recall(),
    "verify": lambda catalog, _: catalog.verify(),
    "export": lambda catalog, folder: catalog.export(_new(folder, ".parquet")),
    "backup": lambda catalog, folder: catalog.backup(_new(folder)),
}
WRITES: dict[str, Call] = {
    "add_vectors": lambda catalog, _: catalog.add_vectors([uuid.uuid4().hex], ROWS[:1], {"price": [99]}),
    "update": lambda catalog, _: catalog.update(["k1"], {"brand": [uuid.uuid4().hex]}),
    "add_field": lambda catalog, _: catalog.add_field(f"f{uuid.uuid4().hex}", "int"),
    "delete": lambda catalog, _: catalog.delete(filter="price == 99"),
    "optimize": lambda catalog, _: catalog.optimize(),
    "change_field": _change_field,
    "change_fields": lambda catalog, _: catalog.change_fields(retype={"price": "int"}),
    "rename_field": _rename_field,
    "drop_field": _drop_field,
    "purge": lambda catalog, _: catalog.purge("30d"),
    "repair": lambda catalog, _: catalog.repair(),
    "keep_queries": _keep_queries,
    "import_parquet": _exchange,
    "add": lambda catalog, _: _without_model(lambda: catalog.add([{"key": "a", "image": b"GIF89a"}])),
    "index": lambda catalog, folder: _without_model(lambda: catalog.index(_feed(folder))),
    "watch": lambda catalog, folder: catalog.watch(_feed(folder)),
    "reencode": lambda catalog, _: _refused(lambda: list(catalog.reencode())),
    "roll_back": lambda catalog, _: _refused(catalog.roll_back),
    "forget": lambda catalog, _: catalog.forget(),
}
INNER_READS: dict[str, Call] = {
    "fetched_folder": lambda catalog, _: catalog._core.fetched_folder,
    "file": lambda catalog, _: catalog._core.file,
    "sets": lambda catalog, _: catalog._core.sets,
    "search_by": lambda catalog, _: catalog._core.search_by(catalog._core.file),
    "sample_keys": lambda catalog, _: catalog._core.sample_keys(3),
}
INNER_WRITES: dict[str, Call] = {"writer": _writer, "change_sets": _change_sets}
"""Calls of the parts below the public face."""

ELSEWHERE = {"create", "open", "open_or_create", "close", "restore"}
"""Those that make or end a catalog."""

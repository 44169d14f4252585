"""Benchmarks: each compares sides in one run and prints ratios, since machines differ and are shared."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.table import Table

from data.errors import FeedError, NotAPicture
from data.feed import open_feed
from data.images import decode, read_bytes
from data.item import Item
from data.openclipart import DEBIAN_ROOT, write_evaluation
from models import Encoder, Prepared, load_encoder
from retrieval import Catalog
from retrieval.evaluation import Evaluation, evaluate, read_queries
from retrieval.indexing import IndexRun
from ui import bench_growth, bench_search
from ui.terminal import err, out, print_json

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True)
bench_search.register(app)
bench_growth.register(app)

ModelOption = Annotated[str, typer.Option(help="The model to measure.")]
RoundsOption = Annotated[int, typer.Option(help="How often each side runs, in turn; medians are shown.", min=1)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@app.command(name="index")
def index_command(
    source: Annotated[Path, typer.Argument(help="A feed or a folder of pictures.")],
    model: ModelOption = "compact",
    count: Annotated[int, typer.Option(help="How many pictures.", min=1)] = 2000,
    rounds: RoundsOption = 3,
    json: JsonOption = False,
) -> None:
    """Compare indexing pictures from disk with the model's own speed on pictures ready in memory."""
    encoder = load_encoder(model)
    paths = _pictures(source, count)
    err.print(f"Reading {len(paths):,} pictures")
    ready = [prepared for path in paths if (prepared := _prepared(path, encoder)) is not None]
    encoder.encode_prepared(ready[:64])  # warm
    with tempfile.TemporaryDirectory() as folder:
        feed = _feed_of(paths, Path(folder))
        runs = iter(range(rounds))
        sides: dict[str, Callable[[], object]] = {
            "forward": lambda: encoder.encode_prepared(ready),
            "decode": lambda: _decode_all(paths, encoder),
            "pipeline": lambda: _index(Path(folder) / f"shop{next(runs)}", feed, model),
        }
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(rounds):
            for name, side in sides.items():
                err.print(f"Round {number + 1}: {name}")
                started = time.perf_counter()
                side()
                seconds[name].append(time.perf_counter() - started)
    rates = {name: len(ready) / statistics.median(times) for name, times in seconds.items()}
    ratio = statistics.median(
        forward / pipeline for forward, pipeline in zip(seconds["forward"], seconds["pipeline"], strict=True)
    )
    if json:
        print_json({"pictures": len(ready), "rates": rates, "pipeline_to_forward": ratio, "seconds": seconds})
        return
    table = Table("side", "pictures a second", title=f"{model}, {len(ready):,} pictures, medians of {rounds}")
    for name, words in (
        ("forward", "raw forward pass on ready tensors"),
        ("decode", "read, hash, decode, resize alone"),
        ("pipeline", "indexing from disk to catalogue"),
    ):
        table.add_row(words, f"{rates[name]:.1f}")
    out.print(table)
    out.print(f"indexing : raw forward = {ratio:.2f}", highlight=False)


@app.command(name="text")
def text_command(
    pictures: Annotated[Path, typer.Option(help="The openclipart tree, with its folders png and svg.")] = DEBIAN_ROOT,
    model: ModelOption = "compact",
    json: JsonOption = False,
) -> None:
    """Measure how well words find pictures that have no title: openclipart by picture alone, its titles as queries."""
    with tempfile.TemporaryDirectory() as folder:
        err.print("Reading titles")
        summary = write_evaluation(pictures, Path(folder))
        if not summary.queries:
            raise FeedError(f"No picture with a title is found below {pictures}.")
        err.print(f"Indexing {summary.pictures:,} pictures")
        with Catalog.create(Path(folder) / "shop", model=model) as catalog:
            for _ in IndexRun(catalog, open_feed(Path(folder) / "pictures.csv")):
                pass
            catalog.optimize()
            *_, found = evaluate(catalog, read_queries(Path(folder) / "queries.csv"))
    assert isinstance(found, Evaluation)
    figures = {
        "pictures": summary.pictures,
        "queries": found.queries,
        "recall@1": round(found.recall_at_1, 4),
        "recall@5": round(found.recall_at_5, 4),
        "recall@10": round(found.recall_at_10, 4),
        "mrr": round(found.mrr, 4),
        "p50_ms": round(found.p50_ms, 2),
    }
    if json:
        print_json(figures)
        return
    table = Table("figure", "value", title=f"{model}: a title finds its picture, by the picture alone")
    for name, value in figures.items():
        table.add_row(name, f"{value:,}")
    out.print(table)


def _pictures(source: Path, count: int) -> list[Path]:
    feed = open_feed(source)
    step = max(feed.count // count, 1)
    items = (entry for entry in feed if isinstance(entry, Item) and entry.images and entry.row % step == 0)
    places = (item.images[0].place for item in items)
    return list(islice((place for place in places if isinstance(place, Path)), count))


def _prepared(path: Path, encoder: Encoder) -> Prepared | None:
    try:
        return encoder.prepare(decode(read_bytes(path), min_side=encoder.spec.input_size).rgb)
    except NotAPicture:
        return None


def _decode_all(paths: list[Path], encoder: Encoder) -> None:
    with ThreadPoolExecutor() as executor:
        for _ in executor.map(lambda path: _prepared(path, encoder), paths):
            pass


def _feed_of(paths: list[Path], folder: Path) -> Path:
    feed = folder / "feed.jsonl"
    rows = [orjson.dumps({"key": f"k{place}", "image": str(path.absolute())}) for place, path in enumerate(paths)]
    feed.write_bytes(b"\n".join(rows))
    return feed


def _index(folder: Path, feed: Path, model: str) -> None:
    """Index from disk into a new catalog, the loading of the weights included."""
    with Catalog.create(folder, model=model) as catalog:
        for _ in IndexRun(catalog, open_feed(feed)):
            pass

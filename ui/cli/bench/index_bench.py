"""The indexing benchmark: the whole pipeline beside its parts, and beside two hand-written loops."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Final, TypedDict

import orjson
import typer
from PIL import Image
from rich.table import Column, Table

from lookalike import Catalog
from lookalike.data.counted import counted
from lookalike.data.errors import FeedError
from lookalike.data.feeds.feed import open_feed
from lookalike.data.item import Item
from lookalike.data.sample.photographs import write_photographs
from lookalike.retrieval.bench.speed import fresh
from lookalike.ui.cli.json_output import print_json
from lookalike.ui.cli.options import JsonOption, RoundsOption
from lookalike.ui.cli.progress_bar import progress
from lookalike.ui.cli.terminal import err, out
from lookalike.ui.process import configure

__all__ = ["register"]

_SIDES: Final = {
    "forward": "the model alone, on prepared pictures in memory",
    "jpeg": "libjpeg alone",
    "load": "read, hash, decode, thumbnail, resize",
    "pipeline": "lookalike index, from disk to catalogue",
    "naive": "one picture after the other",
    "loader": "torch DataLoader, in batches",
}

_STEPS: Final = {
    "read": "read the file",
    "hash": "hash it",
    "libjpeg": "libjpeg alone",
    "decode": "decode, libjpeg included",
    "thumbnail": "thumbnail",
    "prepare": "resize for the model",
    "network": "the model",
}


class _Figures(TypedDict):
    """Pictures a second of each side, and ratios between sides."""

    rates: dict[str, float]
    ratios: dict[str, float]


def index_command(
    source: Annotated[Path, typer.Argument(help="Feed or folder of pictures.")],
    model: Annotated[str, typer.Option(help="Model to measure.")] = "compact",
    count: Annotated[int, typer.Option(help="Number of pictures.", min=1)] = 1000,
    rounds: RoundsOption = 3,
    made: Annotated[
        bool, typer.Option("--made", help="Cut JPEGs of 1 to 12 megapixels from the pictures and index those.")
    ] = False,
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="With --made, keep the JPEGs here for the next run.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Compare indexing pictures from disk with its parts, and with two hand-written loops."""
    from lookalike.models import throughput  # loads torch

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = _pictures(source, count)
        if made:
            paths = _made(paths, keep or folder, count)
        feed = folder / "feed.jsonl"
        feed.write_bytes(b"\n".join(orjson.dumps({"key": path.name, "image": str(path.absolute())}) for path in paths))
        sides = {
            "forward": partial(throughput.forward_only, paths, model),
            "jpeg": partial(throughput.decode_only, paths, model),
            "load": partial(throughput.load_only, paths, model),
            "pipeline": partial(_index, folder, feed, model),
            "naive": partial(throughput.naive_loop, paths, model),
            "loader": partial(throughput.loader_loop, paths, model),
        }
        seconds: dict[str, list[float]] = {side: [] for side in sides}
        for number in range(rounds):
            for side, run in sides.items():
                err.print(f"Round {number + 1} of {rounds}: {_SIDES[side]}", highlight=False)
                seconds[side].append(fresh(run))
        steps = {step: round(1000 * took, 2) for step, took in fresh(throughput.step_seconds, paths, model).items()}
    figures = _figures(seconds, len(paths))
    if json:
        print_json({"model": model, "pictures": len(paths), **figures, "step_ms": steps, "seconds": seconds})
        return
    table = Table(
        "side", Column("pictures a second", justify="right"), title=f"{model}, {counted(len(paths), 'picture')}"
    )
    for side, words in _SIDES.items():
        table.add_row(words, f"{figures['rates'][side]:.1f}")
    out.print(table)
    table = Table("step", Column("ms of a processor, a picture", justify="right"))
    for step, words in _STEPS.items():
        table.add_row(words, f"{steps[step]:.1f}")
    out.print(table)
    for name, ratio in figures["ratios"].items():
        out.print(f"{name}: {ratio:.2f}", highlight=False)


def register(app: typer.Typer) -> None:
    """Add the command to the benchmarks."""
    app.command(name="index")(index_command)


def _pictures(source: Path, count: int) -> list[Path]:
    """Choose `count` readable pictures, evenly spread over a feed."""
    from lookalike.models import throughput

    feed = open_feed(source)
    step = max(feed.count // count, 1)
    items = (entry for entry in feed if isinstance(entry, Item) and entry.images and entry.row % step == 0)
    places = (item.images[0].place for item in items)
    paths = list(
        islice((place for place in places if isinstance(place, Path) and throughput.is_readable(place)), count)
    )
    if not paths:
        raise FeedError(f"{source.name} has no picture that can be read.")
    return paths


def _made(sources: Sequence[Path], folder: Path, count: int) -> list[Path]:
    """Cut `count` JPEGs, or return those of an earlier run if there are as many, since they would be the same."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = sorted(folder.glob("*.jpg"))
    if len(kept) == count:
        return kept
    with progress() as bar:
        task = bar.add_task("Making photographs", total=count, rate="")
        paths = []
        for path in write_photographs(sources, folder, count):
            paths.append(path)
            bar.update(task, completed=len(paths))
    return paths


def _index(folder: Path, feed: Path, model: str) -> float:
    """Index from disk into a new catalog; return the seconds it took after the weights were loaded."""
    configure()  # this is a process of its own
    with tempfile.TemporaryDirectory(dir=folder) as name, Catalog.create(Path(name) / "shop", model=model) as catalog:
        side = catalog.encoder.spec.input_size
        catalog.encoder.encode_images([Image.new("RGB", (side, side))])
        started = time.perf_counter()
        catalog.index(feed).finish()
        return time.perf_counter() - started


def _figures(seconds: Mapping[str, Sequence[float]], count: int) -> _Figures:
    """Return the rate of each side and the ratios of the pipeline to others, as medians over rounds."""

    def ratio(reference: Callable[[dict[str, float]], float]) -> float:
        rounds = [dict(zip(seconds, one, strict=True)) for one in zip(*seconds.values(), strict=True)]
        return round(float(statistics.median(reference(one) / one["pipeline"] for one in rounds)), 3)

    return {
        "rates": {side: round(count / statistics.median(times), 2) for side, times in seconds.items()},
        "ratios": {
            "pipeline to the model alone": ratio(lambda one: one["forward"]),
            "pipeline to the model and libjpeg sharing the processors": ratio(lambda one: one["forward"] + one["jpeg"]),
            "pipeline to the better of the loops": ratio(lambda one: min(one["naive"], one["loader"])),
        },
    }

"""Index ten times as many rows as before: the peak of memory stays where it was, and the bar's time left is true.

The test does so with some thousand rows and a small encoder, for the memory alone; `python -m tests.test_scale 100000`
with `compact` and as many rows as asked beside a tenth of them, and prints both; with `colour` behind it with the small
encoder.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
MOST_GROWTH = 1.15
MOST_OFF = 0.2
ENDING_S = 10.0
"""The last seconds are not compared: a share of next to nothing says nothing."""

RUN = """
import json, sys, time
from pathlib import Path
import lookalike.retrieval.core
from lookalike.data.feeds.feed import open_feed
from lookalike import Catalog
from lookalike.retrieval.ingest.index_run import IndexRun
from lookalike.ui.cli import indexing

if sys.argv[3] == "colour":
    from tests.fakes import ColourEncoder
    lookalike.retrieval.core.load_encoder = lambda name, **_: ColourEncoder()

def peak_mb():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024

told, bars, plain_progress = [], [], indexing.progress
def recorded():
    bar = plain_progress()
    update = bar.update
    def noted(task, **values):
        update(task, **values)
        left = bar.tasks[0].time_remaining
        if left is not None and (not told or values["completed"] - told[-1][1] >= 50):  # else this grew by the row
            told.append((time.monotonic() - started, values["completed"], left))
    bar.update = noted
    return bar
indexing.progress = recorded

with Catalog.create(sys.argv[1], model="compact") as catalog:
    feed = open_feed(Path(sys.argv[2]))
    catalog.encoder.encode_titles(["warm"])
    peaks = {}
    optimize = catalog.optimize
    def noting():
        peaks["run"], peaks["run_s"] = peak_mb(), time.monotonic() - started
        optimize()
    catalog.optimize = noting
    started = time.monotonic()
    (run,) = indexing.run_index(catalog, [feed])
    report = run.report
    print(json.dumps({"peak_mb": peaks["run"], "peak_with_optimize_mb": peak_mb(), "seconds": peaks["run_s"],
                      "rows": report.rows, "added": report.added, "rejected": report.rejected, "told": told}))
"""


def make_feed(folder: Path, count: int) -> Path:
    """Write a feed of rows with a tiny picture each, no two alike, one in fifty broken."""
    (folder / "pictures").mkdir(parents=True)
    chance = np.random.default_rng(5)
    with (folder / "feed.csv").open("w") as feed:
        feed.write("key,image,title,price\n")
        for number in range(count):
            path = folder / "pictures" / f"{number}.png"
            if number % 50 == 7:
                path.write_text("no picture")
            else:
                Image.fromarray(chance.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
            feed.write(f"k{number},pictures/{number}.png,a red thing {number},{number % 100}.5\n")
    return folder / "feed.csv"


def index(folder: Path, count: int, model: str) -> Any:  # noqa: ANN401  # JSON
    """Index so many rows in a process of its own; return what it found."""
    feed = make_feed(folder, count)
    command = [sys.executable, "-c", RUN, str(folder / "shop"), str(feed), model]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["rows"] == count
    assert found["added"] + found["rejected"] == count
    return found


def worst_off(told: list[tuple[float, int, float]], count: int, seconds: float) -> float:
    """Return by how much of the true time left the bar was wrong at most, from half-way on."""
    off = [
        abs(left - (seconds - elapsed)) / (seconds - elapsed)
        for elapsed, rows, left in told
        if rows >= count / 2 and seconds - elapsed > ENDING_S
    ]
    return max(off, default=0.0)


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    small, large = (index(tmp_path / str(count), count, "colour") for count in (300, 3_000))
    assert large["peak_mb"] <= small["peak_mb"] * MOST_GROWTH


if __name__ == "__main__":
    most, model = int(sys.argv[1]), (*sys.argv[2:], "compact")[0]
    with tempfile.TemporaryDirectory() as place:
        for count in (most // 10, most):
            found = index(Path(place) / str(count), count, model)
            told = found.pop("told")
            found["time_left_off_by"] = round(worst_off(told, count, found["seconds"]), 3)
            sys.stdout.write(json.dumps(found) + "\n")

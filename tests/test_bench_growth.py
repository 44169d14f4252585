from __future__ import annotations

import itertools
import math
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lookalike import Catalog
from lookalike.retrieval.bench import growth
from lookalike.retrieval.bench.catalog_build import build
from lookalike.retrieval.bench.synthetic import Synthetic
from lookalike.ui.cli.bench.plot import Chart, svg_of
from tests.running import call, call_json

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.slow
def test_growth_is_measured_at_every_size_and_drawn(tmp_path: Path) -> None:
    plot = tmp_path / "growth.svg"
    found = call_json(
        "bench", "growth", "--counts", "2000,300", "--dim", 16, "--index", "ivf_pq", "--disk-from", 2000, "--plot", plot
    )
    assert found["dim"] == 16
    assert [step["index"] for step in found["steps"]] == ["ivf_pq", "disk"]
    assert [step["count"] for step in found["steps"]] == [300, 2000]
    for step in found["steps"]:
        assert all(value > 0 for name, value in step.items() if name not in ("index", "load", "mapped_mb"))
        assert step["p50_ms"] <= step["p99_ms"]
        assert step["bytes_on_disk_per_item"] > 2 * 2 * 16  # in the records and in the generation, in 16 bits
    root = ElementTree.parse(plot).getroot()
    words = [element.text for element in root.iter(f"{SVG}text")]
    assert words.count("vectors") == 4
    assert {"seconds", "milliseconds", "MB", "bytes an item", "Building", "add", "optimize", "p99 at 10%"} <= set(words)
    assert "prefers-color-scheme: dark" in plot.read_text()
    shown = call("bench", "growth", "--counts", "300", "--dim", 16)
    assert "optimizing, seconds" in shown


def test_a_built_catalog_holds_the_rows_and_opens_again(tmp_path: Path) -> None:
    made = Synthetic(500, dim=16)
    built = build(tmp_path / "made", made, "flat")
    (chunk,) = made.chunks()
    with Catalog.open(tmp_path / "made") as catalog:
        assert catalog.info().bytes_on_disk == built.bytes_on_disk
        assert catalog.info().tail == 0
        assert catalog.search(vector=chunk.vectors[7], limit=1).keys == ["7"]
    assert growth.open_once(tmp_path / "made") > 0
    opened = growth.open_and_search(tmp_path / "made", made)
    assert [speed.searches for speed in opened.speeds] == [500, 500]


@pytest.mark.parametrize("counts", ["", "ten", "100", "1000,,x"])
def test_counts_that_are_none_are_refused(counts: str) -> None:
    assert "whole numbers" in " ".join(call("bench", "growth", "--counts", counts, code=2).split())


def test_a_plot_in_no_folder_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    assert "no folder" in call("bench", "growth", "--plot", tmp_path / "none" / "growth.svg", code=2)


def test_points_lie_where_their_logarithms_say() -> None:
    root = ElementTree.fromstring(svg_of([Chart("a < b", "vectors", "ms", {"one": [(10, 1), (100, 10), (1000, 100)]})]))
    (line,) = root.iter(f"{SVG}polyline")
    places = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(places)]
    assert math.isclose(steps[0][0], steps[1][0], abs_tol=0.2)
    assert math.isclose(steps[0][1], steps[1][1], abs_tol=0.2)
    assert steps[0][0] > 0 > steps[0][1]
    assert next(element.text for element in root.iter(f"{SVG}text")) == "a < b"
    ticks = [element.text for element in root.iter(f"{SVG}text") if re.fullmatch(r"[\d,.]+", element.text or "")]
    assert ticks == ["10", "100", "1,000", "1", "10", "100"]


def test_points_without_a_logarithm_are_left_out() -> None:
    root = ElementTree.fromstring(svg_of([Chart("none", "x", "y", {"zero": [(10, 0)], "some": [(10, 0), (10, 5)]})]))
    assert [line.attrib["points"].count(",") for line in root.iter(f"{SVG}polyline")] == [1]
    assert "polyline" not in svg_of([Chart("none", "x", "y", {"zero": [(10, 0)]})])

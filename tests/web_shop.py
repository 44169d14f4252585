"""A small catalogue of coloured pictures for tests of the REST API and the page, made with the fake encoder."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from PIL import Image

from lookalike import Catalog
from lookalike.data.feeds.feed import open_feed
from lookalike.retrieval.ingest.index_run import IndexRun

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (250, 250, 250)}
HOSTILE = '<img src=x onerror="window.broken=1"> ${window.broken=1} {{constructor}} \'"&'
NAMES = [*COLOURS]
COUNT = 30


def picture(colour: tuple[int, int, int], shade: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (24, 24), tuple(max(part - shade, 0) for part in colour)).save(buffer, "PNG")
    return buffer.getvalue()


def make_shop(folder: Path) -> Catalog:
    """Build a shop of 30 items, k00 to k29, in turn red, green, blue and white.

    The title of k03 is hostile, and k05 has two pictures.
    """
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    with (folder / "feed.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "image", "title", "colour", "price", "in_stock", "added", "tags"])
        for number in range(COUNT):
            name = NAMES[number % len(NAMES)]
            path = pictures / f"k{number:02}.png"
            path.write_bytes(picture(COLOURS[name], shade=number))
            images = str(path)
            if number == 5:
                (pictures / "second.png").write_bytes(picture(COLOURS["blue"], shade=99))
                images += f"|{pictures / 'second.png'}"
            title = HOSTILE if number == 3 else f"{name} square {number}"
            day = f"2026-01-{number + 1:02}"
            tags = "even|all" if number % 2 == 0 else "odd|all"
            writer.writerow([f"k{number:02}", images, title, name, number, number % 3 == 0, day, tags])
    catalog = Catalog.create(folder / "shop", model="compact")
    for _ in IndexRun(catalog._core, open_feed(folder / "feed.csv")):
        pass
    return catalog

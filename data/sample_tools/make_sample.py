"""Build the sample catalogue from the Openclipart collection: `python data/sample_tools/make_sample.py [COLLECTION]`.

It reads `selection.csv`, which lists the drawings with their categories and titles, and writes `catalog.csv` and
`pictures/` into `data/sample`. The same collection and the same version of Pillow give the same bytes.

Drawings, authors and keywords are those of Openclipart. Prices and stock are invented, from a hash of the key.
"""

from __future__ import annotations

import csv
import hashlib
import re
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops, ImageOps

HERE = Path(__file__).resolve().parent
FOLDER = HERE.with_name("sample")
sys.path.insert(0, str(HERE.parent.parent))

from lookalike.data.sample.openclipart import DEBIAN_ROOT, MAX_PIXELS, Clipart, picture_size, read_openclipart  # noqa: E402
from lookalike.data.sample_tools.colour import dominant_colour  # noqa: E402

COLUMNS = ("key", "image", "title", "category", "tags", "author", "colour", "price", "in_stock")
SIDE = 320
MARGIN = 8
QUALITY = 78
TINT = (226, 236, 248)
MAX_TAGS = 8
IN_STOCK_SHARE = 0.88

PRICES = {
    "animals": (4, 40),
    "books": (5, 45),
    "buildings": (15, 160),
    "clothing": (8, 90),
    "computers": (9, 900),
    "electronics": (5, 480),
    "food": (1.5, 28),
    "fruit": (0.4, 6),
    "furniture": (35, 420),
    "home": (3, 140),
    "jewellery": (60, 1900),
    "kitchen": (4, 80),
    "music": (15, 950),
    "party": (1, 35),
    "plants": (3, 60),
    "sports": (6, 140),
    "stationery": (1, 25),
    "sweets": (1, 36),
    "tools": (4, 120),
    "toys": (3, 60),
    "transport": (20, 600),
    "vegetables": (0.4, 5),
}
"""Lowest and highest invented price in each category."""

_FILING_WORDS = frozenset(
    {
        *("clip art", "clipart", "colour", "color", "computer icon", "externalsource", "hash", "icon", "icons"),
        *("image", "lemon theme icon", "media", "openclipart", "png", "recreation", "signs and symbols", "special"),
        *("svg", "symbol", "theme", "unchecked", "unsorted", "wmf"),
        # Dozens of drawings have these because they were submitted together.
        *("author", "cuptazzacolazione", "dvb", "menu", "musicstuff", "satellite", "stock", "voip", "work"),
    }
)
_ICON_WORDS = frozenset({"application", "computer", "hardware", "internet", "network"})


@dataclass(frozen=True, slots=True)
class Choice:
    """A row of `selection.csv`. `second` is empty, another drawing, or a view (`detail`, `mirror`, `tint`)."""

    drawing: str
    category: str
    title: str
    second: str

    @property
    def key(self) -> str:
        """The title as a single word for addresses and file names."""
        plain = unicodedata.normalize("NFKD", self.title.lower()).encode("ascii", "ignore").decode()
        return re.sub(r"[^a-z0-9]+", "-", plain.replace("'", "")).strip("-")


def main(arguments: Sequence[str]) -> int:
    """Build the sample. The only argument is the collection's folder, by default where Debian's packages install it."""
    root = Path(arguments[0]) if arguments else DEBIAN_ROOT
    drawings = {clipart.stem: clipart for clipart in read_openclipart(root)}
    with (HERE / "selection.csv").open(encoding="utf-8", newline="") as file:
        choices = [Choice(**row) for row in csv.DictReader(file)]
    pictures = FOLDER / "pictures"
    shutil.rmtree(pictures, ignore_errors=True)
    pictures.mkdir()
    with (FOLDER / "catalog.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for choice in sorted(choices, key=lambda choice: choice.key):
            writer.writerow(make_item(choice, drawings, pictures))
    size = sum(path.stat().st_size for path in pictures.iterdir())
    sys.stdout.write(f"{len(choices)} items, {size / 1e6:.1f} MB of pictures in {pictures}\n")
    return 0


def make_item(choice: Choice, drawings: dict[str, Clipart], pictures: Path) -> tuple[str, ...]:
    """Write the pictures of an item, and return its row of the catalogue.

    Raises:
        ValueError: a drawing is missing, too large, or not declared to be in the public domain.
    """
    key = choice.key
    drawing = _free_drawing(choice.drawing, drawings)
    views = [on_white(drawing.png)]
    if choice.second in ("detail", "mirror", "tint"):
        views.append(other_view(drawing.png, choice.second))
    elif choice.second:
        views.append(on_white(_free_drawing(choice.second, drawings).png))
    files = [pictures / f"{key}{'' if place == 1 else f'-{place}'}.webp" for place in range(1, len(views) + 1)]
    for view, file in zip(views, files, strict=True):
        view.save(file, "WEBP", quality=QUALITY, method=6)
    with Image.open(files[0]) as shipped:
        colour = dominant_colour(shipped)
    return (
        key,
        "|".join(f"pictures/{file.name}" for file in files),
        choice.title,
        choice.category,
        "|".join(tags_of(drawing, choice.category)),
        author_of(drawing),
        colour,
        f"{price_of(key, choice.category):.2f}",
        "true" if _share(key, "stock") < IN_STOCK_SHARE else "false",
    )


def on_white(png: Path) -> Image.Image:
    """Return a drawing on white: cropped to its content, with a margin, its longer side at most `SIDE` pixels."""
    return _flattened(_trimmed(png), "white")


def other_view(png: Path, view: str) -> Image.Image:
    """Return a second view: an enlarged centre (`detail`), the mirror image (`mirror`), or tinted ground (`tint`)."""
    drawing = _trimmed(png)
    if view == "mirror":
        return _flattened(ImageOps.mirror(drawing), "white")
    if view == "tint":
        return _flattened(drawing, TINT)
    width, height = drawing.size
    return _flattened(drawing.crop((width // 5, height // 5, width - width // 5, height - height // 5)), "white")


def tags_of(drawing: Clipart, category: str) -> list[str]:
    """Return at most `MAX_TAGS` keywords of a drawing in alphabetical order, without those that only file it."""
    # A cup and a house are filed under "computer" because they were submitted as icons.
    filing = _FILING_WORDS if category in ("computers", "electronics") else _FILING_WORDS | _ICON_WORDS
    words = {" ".join(keyword.lower().replace("_", " ").split()) for keyword in drawing.keywords}
    usable = (word for word in words if re.fullmatch(r"[^\W\d_][\w' -]{1,23}", word) and word not in filing)
    return sorted(usable)[:MAX_TAGS]


def author_of(drawing: Clipart) -> str:
    """Return the author's name without e-mail addresses."""
    named = re.sub(r"\s*\(\S+@\S+\)", "", drawing.author).split("@")[0].strip()
    return "Anonymous" if named.lower() in ("", "anonymous", "author", "unknown") else named


def price_of(key: str, category: str) -> float:
    """Return an invented price in the category's range; low prices are more frequent than high ones."""
    low, high = PRICES[category]
    price: float = low * (high / low) ** _share(key, "price")
    return round(price * 20) / 20


def _free_drawing(stem: str, drawings: dict[str, Clipart]) -> Clipart:
    drawing = drawings.get(stem)
    if drawing is None:
        raise ValueError(f"The collection has no drawing {stem}.")
    if not drawing.public_domain:
        raise ValueError(f"The drawing {stem} is not declared to be in the public domain.")
    size = picture_size(drawing.png)
    if size is None or size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"The drawing {stem} is not a picture, or is too large.")
    return drawing


def _trimmed(png: Path) -> Image.Image:
    """Return a drawing as RGBA, cropped to the part that differs from white."""
    with Image.open(png) as picture:
        drawing = picture.convert("RGBA")
    backed = Image.alpha_composite(Image.new("RGBA", drawing.size, "white"), drawing).convert("RGB")
    difference = ImageChops.difference(backed, Image.new("RGB", backed.size, "white")).convert("L")
    return drawing.crop(difference.point([0] * 8 + [255] * 248).getbbox())


def _flattened(drawing: Image.Image, background: str | tuple[int, int, int]) -> Image.Image:
    """Return a drawing as RGB on a background with a margin, at most `SIDE` pixels a side and never enlarged."""
    inner = SIDE - 2 * MARGIN
    scale = min(1.0, inner / max(drawing.size))
    width, height = (max(1, round(length * scale)) for length in drawing.size)
    # Pillow resizes with premultiplied alpha, so that transparent pixels do not bleed into the edges.
    small = drawing.resize((width, height), Image.Resampling.LANCZOS)
    canvas = Image.new("RGBA", (width + 2 * MARGIN, height + 2 * MARGIN), background)
    canvas.alpha_composite(small, (MARGIN, MARGIN))
    return canvas.convert("RGB")


def _share(key: str, purpose: str) -> float:
    """Return a number from 0 to 1 that depends only on the key and the purpose."""
    return int.from_bytes(hashlib.sha256(f"{purpose}:{key}".encode()).digest()[:6]) / 2**48


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

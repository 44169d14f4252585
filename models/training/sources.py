"""Captioned pictures on which the head of `compact` is trained, and those on which it is only tried.

Each source is one or more Debian packages, read where they install their files:

- drawings: `openclipart-png` and `openclipart-svg`. Only drawings that declare themselves to be in the public domain
  are used for training.
- emoji: the font of `fonts-noto-color-emoji` (Noto: SIL Open Font License 1.1, its pictures Apache-2.0), with names
  from `unicode-data` and descriptions from `unicode-cldr-core` (both Unicode-DFS-2016).
- stamps: `tuxpaint-stamps-default` (GPL-2), mostly cut-out photographs. They are never used for training.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lookalike.data.errors import NotAPicture
from lookalike.data.pictures.image_decoder import decode
from lookalike.data.sample.openclipart import (
    DEBIAN_ROOT,
    MAX_PIXELS,
    Clipart,
    half,
    is_flag,
    is_real_title,
    picture_size,
    query_text,
)
from lookalike.data.sample.openclipart import read_openclipart as read_cliparts
from lookalike.models.base import Prepared
from lookalike.models.compact.networks import prepare_picture

__all__ = ["Label", "caption_drawing", "caption_emoji", "read_drawings", "read_emoji", "read_stamps"]

NAME_WEIGHT, KEYWORD_WEIGHT = 1.0, 0.3

SHARE = Path("/usr/share")
NOTO_FONT = SHARE / "fonts/truetype/noto/NotoColorEmoji.ttf"
EMOJI_NAMES = SHARE / "unicode/emoji/emoji-test.txt"
EMOJI_KEYWORDS = SHARE / "unicode/cldr/common/annotations/en.xml"
STAMPS = SHARE / "tuxpaint/stamps"

_FONT_SIZE, _EMOJI_BOX = 109, (136, 128)  # the only size in the font
_FILING_WORDS = frozenset(
    {"art", "clip", "clip art", "clipart", "domain", "drawing", "externalsource", "hash", "icon", "image", "media"}
    | {"office", "open", "openclipart", "png", "public", "svg", "unchecked", "vector"}
)
_MIN_COLOURS_OF_A_PHOTOGRAPH = 600  # of 32,768; six in seven of the stamps above it are cut-out photographs
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_VARIATION = 0xFE0F
_EMOJI_LINE = re.compile(r"(?P<codes>[0-9A-F ]+); fully-qualified +# \S+ E[\d.]+ (?P<name>.+)")


@dataclass(frozen=True, slots=True)
class Label:
    """The texts that belong to a picture.

    `name` is the query that should find it, empty if its title does not describe the subject. `captions` are texts with
    weights. `trainable` tells whether its licence and captions permit training on it, and `unsupervised` whether the
    visual projection may be fitted to it.
    """

    name: str
    captions: Mapping[str, float]
    trainable: bool
    unsupervised: bool = False


def read_drawings(root: Path = DEBIAN_ROOT) -> Iterator[tuple[Prepared, Label]]:
    """Yield the drawings of Openclipart except flags and unreadable ones."""
    for clipart in read_cliparts(root):
        if is_flag(clipart):
            continue
        size = picture_size(clipart.png)
        if size is None or size[0] * size[1] > MAX_PIXELS:
            continue
        try:
            picture = prepare_picture(decode(clipart.png.read_bytes()).rgb)
        except NotAPicture:
            continue
        name, captions = caption_drawing(clipart)
        computed_stars = any(category.startswith("shapes/stars") for category in clipart.categories)
        free = clipart.public_domain and not computed_stars
        label = Label(
            name=name if clipart.whole else "",
            captions=captions,
            trainable=free and clipart.whole and bool(captions),
            unsupervised=free and half(clipart.title or clipart.stem) == 0,
        )
        yield picture, label


def caption_drawing(clipart: Clipart) -> tuple[str, dict[str, float]]:
    """Return the name of a drawing, which may be empty, and its captions: the title, and keywords of lower weight."""
    name = query_text(clipart.title) if is_real_title(clipart.title, author=clipart.author) else ""
    words = (query_text(word) for word in clipart.keywords)
    return name, _captions(name, [word for word in words if len(word) > 2 and word not in _FILING_WORDS])


def read_emoji(
    font: Path = NOTO_FONT, *, names: Path = EMOJI_NAMES, keywords: Path = EMOJI_KEYWORDS
) -> Iterator[tuple[Prepared, Label]]:
    """Yield the emoji of a single code point, drawn on white, except flags and components of other emoji."""
    face = ImageFont.truetype(font, _FONT_SIZE)
    for letter, (name, captions) in caption_emoji(names, keywords).items():
        picture = Image.new("RGB", _EMOJI_BOX, "white")
        ImageDraw.Draw(picture).text((0, 0), letter, font=face, embedded_color=True)
        yield prepare_picture(picture), Label(name, captions, trainable=True)


def caption_emoji(names: Path, keywords: Path) -> dict[str, tuple[str, dict[str, float]]]:
    """Return the name and the captions of each emoji.

    Args:
        names: Unicode's `emoji-test.txt`.
        keywords: `annotations/en.xml` of Unicode's CLDR.
    """
    described = {
        element.get("cp", ""): [query_text(word) for word in (element.text or "").split("|")]
        for element in ElementTree.parse(keywords).iter("annotation")
        if element.get("type") != "tts"
    }
    found: dict[str, tuple[str, dict[str, float]]] = {}
    group = ""
    for line in names.read_text(encoding="utf-8").splitlines():
        group = line.removeprefix("# group: ") if line.startswith("# group: ") else group
        entry = _EMOJI_LINE.match(line)
        if entry is None or group in ("Component", "Flags"):
            continue
        codes = [code for code in (int(digits, 16) for digits in entry["codes"].split()) if code != _VARIATION]
        if len(codes) == 1 and codes[0] not in _SKIN_TONES:
            name = query_text(entry["name"])
            found[chr(codes[0])] = name, _captions(name, described.get(chr(codes[0]), []))
    return found


def read_stamps(root: Path = STAMPS, *, photographs_only: bool = False) -> Iterator[tuple[Prepared, Label]]:
    """Yield Tux Paint's PNG stamps except signs and letters, named by the first line of the text beside each."""
    for png in sorted(root.rglob("*.png")):
        text = png.with_suffix(".txt")
        if not text.is_file() or png.relative_to(root).parts[0] == "symbols":
            continue
        picture = prepare_picture(decode(png.read_bytes()).rgb)
        if photographs_only and _count_colours(picture) < _MIN_COLOURS_OF_A_PHOTOGRAPH:
            continue
        name = query_text(text.read_text(encoding="utf-8", errors="replace").splitlines()[0])
        yield picture, Label(name, {}, trainable=False)


def _count_colours(picture: Prepared) -> int:
    """Return the number of distinct colours at 32 levels for each channel."""
    levels = (picture >> 3).astype(np.int32)
    return len(np.unique(levels @ np.array([1 << 10, 1 << 5, 1])))


def _captions(name: str, keywords: list[str]) -> dict[str, float]:
    captions = {keyword: KEYWORD_WEIGHT for keyword in keywords if keyword}
    return {**captions, name: NAME_WEIGHT} if name else captions

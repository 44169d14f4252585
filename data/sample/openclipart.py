"""The Openclipart collection: 6,900 public-domain drawings with their metadata.

Debian's packages `openclipart-png` and `openclipart-svg` install the collection under `/usr/share/openclipart` as two
trees with the same relative paths, such as `png/food/fruit/pear.png` and `svg/food/fruit/pear.svg`. Pictures are read
from the first, metadata (title, keywords, author, licence) from the second. A drawing that is filed in several folders
is one `Clipart`.

Hundreds of people typed the metadata, and many titles name a collection ("Part of the Flat Icon Collection") rather
than the subject. `is_real_title` tells the two apart. `write_evaluation` makes a text-to-picture retrieval test from
the real ones, in files that `lookalike index` and `lookalike evaluate` read.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import html
import re
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

__all__ = [
    "DEBIAN_ROOT",
    "MAX_PIXELS",
    "Clipart",
    "EvaluationSummary",
    "half",
    "is_flag",
    "is_real_title",
    "picture_size",
    "query_text",
    "read_openclipart",
    "write_evaluation",
]

DEBIAN_ROOT = Path("/usr/share/openclipart")
"""Where Debian's packages install the collection."""

MAX_PIXELS = 40_000_000
"""Maximum size of a picture. A few drawings have over 200 million pixels in a small file and are left out."""

_PLACEHOLDERS = frozenset(
    {
        *("clip art", "clipart", "drawing", "icon", "icons", "image", "my title", "new document", "no name", "none"),
        *("open clip art", "open clipart", "openclipart", "picture", "test", "title", "unknown", "unnamed", "untitled"),
        # Names of whole collections, found by counting titles that dozens of unrelated drawings share.
        *("advertising", "aiga symbol signs", "australian maps", "boating rules illustration", "card", "chess pieces"),
        *(
            "container for other icons",
            "etiquette icons",
            "gold theme",
            "gramastar",
            "homes clipart",
            "lemon svg theme",
        ),
        *("map symbols", "pc connectors", "people", "plastik icon theme", "preenchimento inkscape", "r16 sibmission"),
        *("road signs", "sallite", "simple arrows", "svg buttons", "svg road signs", "various cliparts"),
    }
)
_COLLECTION = re.compile(r"\b(part of the|gradient collection|iconset|icon set|menu clip art|e ?mail|www|http)\b")
_DATE = re.compile(r"\b(19|20)\d\d[ ./-]\d\d?[ ./-]\d\d?\b")
_FILE_ENDING = re.compile(r"\.(svg|png|jpe?g|gif|ai|eps)$", re.IGNORECASE)
_BATCH_TITLE = re.compile(r"^clipart by .+ - (?P<name>\S+)$", re.IGNORECASE)
_LINKED_PICTURE = re.compile(r"<(?:\w+:)?image\b[^>]*?\bxlink:href=[\"'](?!data:|#)[^\"']", re.DOTALL)
_SHORT_WORDS = frozenset({"cd", "pc", "tv"})


@dataclass(frozen=True, slots=True)
class Clipart:
    """One drawing of the collection.

    `stem` is its path relative to the tree, without a suffix; if it is filed more than once, the first in sort order.
    `png` is its picture and `categories` the folders it is filed in. `title` has its escapes resolved and may be empty.
    `public_domain` is true only if the drawing's own metadata says so. `whole` is false if the drawing links to a
    picture in another file that was never submitted, so that part or all of it is missing ("Linked Image Not Found").
    """

    stem: str
    png: Path
    categories: tuple[str, ...]
    title: str
    keywords: tuple[str, ...]
    author: str
    public_domain: bool
    whole: bool = True


@dataclass(frozen=True, slots=True)
class EvaluationSummary:
    """Number of pictures and queries that `write_evaluation` wrote, and of drawings it left out for each reason."""

    pictures: int
    queries: int
    without_title: int
    flags: int
    too_large: int
    unreadable: int


def read_openclipart(root: Path = DEBIAN_ROOT) -> Iterator[Clipart]:
    """Yield every drawing under `root` in order of its path.

    Identical pictures (the collection links drawings into several folders) are yielded once, with all their folders. A
    picture without readable metadata has an empty title and `public_domain=False`. Pictures are not decoded.
    """
    copies: dict[str, list[Path]] = defaultdict(list)
    for png in sorted((root / "png").rglob("*.png")):
        if png.is_file():
            copies[hashlib.sha256(png.read_bytes()).hexdigest()].append(png)
    for pngs in copies.values():
        stems = [png.relative_to(root / "png").with_suffix("") for png in pngs]
        described = [_read_metadata(root / "svg" / f"{stem}.svg", file_name=stem.name) for stem in stems]
        titled = [metadata for metadata in described if is_real_title(metadata.title, author=metadata.author)]
        best = (titled or described)[0]
        yield Clipart(
            stem=stems[0].as_posix(),
            png=pngs[0],
            categories=tuple(dict.fromkeys(stem.parent.as_posix() for stem in stems)),
            title=best.title,
            keywords=tuple(dict.fromkeys(word for metadata in described for word in metadata.keywords)),
            author=best.author,
            public_domain=all(metadata.public_domain for metadata in described),
            whole=best.whole,
        )


def is_real_title(title: str, *, author: str = "") -> bool:
    """Return whether a title describes the subject, rather than the author, the date or the collection."""
    text = _normalized(title)
    if not text or text in _PLACEHOLDERS or text == _normalized(author) or "@" in title:
        return False
    if _COLLECTION.search(text) or _DATE.search(title) or _FILE_ENDING.search(title):
        return False
    return any(len(word) > 2 or word in _SHORT_WORDS for word in re.findall(r"[^\W\d_]+", text))


def is_flag(clipart: Clipart) -> bool:
    """Return whether a drawing is a flag, by its folders, title and keywords. The title of a flag names a country."""
    in_flag_folder = any("flags" in category.split("/") for category in clipart.categories)
    words = _normalized(" ".join((clipart.title, *clipart.keywords))).split()
    return in_flag_folder or not {"flag", "flags", "bandiera", "drapeau"}.isdisjoint(words)


def picture_size(png: Path) -> tuple[int, int] | None:
    """Return the width and height in pixels from the file's header, or None if it is not a valid picture."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(png) as picture:
                size = picture.size
                picture.verify()
        except Image.DecompressionBombError:
            return (MAX_PIXELS, MAX_PIXELS)
        except (OSError, SyntaxError, ValueError):
            return None
    return size


def query_text(title: str) -> str:
    """Return the words of a title in lower case, without punctuation and without a number at the end.

    Titles with the same words ("Mailbox", "mailbox 2") become the same query.
    """
    text = _normalized(title)
    return re.sub(r"[\d ]+$", "", text) or text


def half(title: str) -> int:
    """Return 0 (tuning) or 1 (held out); all titles with the same query are in the same half."""
    return hashlib.sha256(query_text(title).encode()).digest()[0] & 1


def write_evaluation(root: Path, out: Path, *, limit: int | None = None) -> EvaluationSummary:
    """Write `pictures.csv` and `queries.csv` into the folder `out`, as a test of finding pictures by words.

    `pictures.csv` has only `key` and `image` (an absolute path), so that nothing but the picture can answer a query.
    `queries.csv` has `text` (a title) and `relevant` (the keys of all pictures with that title, separated by '|').
    Left out are flags, pictures with a placeholder title, unreadable pictures, and pictures over `MAX_PIXELS`.

    Args:
        root: The collection: a folder with `png` and `svg`.
        out: Folder for the two files; it is created if necessary.
        limit: Maximum number of pictures, a fixed sample from the whole collection.
    """
    without_title = flags = too_large = unreadable = 0
    kept: list[Clipart] = []
    for clipart in read_openclipart(root):
        if is_flag(clipart):
            flags += 1
        elif not is_real_title(clipart.title, author=clipart.author):
            without_title += 1
        elif not clipart.whole or (size := picture_size(clipart.png)) is None:
            unreadable += 1
        elif size[0] * size[1] > MAX_PIXELS:
            too_large += 1
        else:
            kept.append(clipart)
    if limit is not None:
        drawn = sorted(kept, key=lambda clipart: hashlib.sha256(clipart.stem.encode()).digest())[:limit]
        kept = sorted(drawn, key=lambda clipart: clipart.stem)

    queries: dict[str, list[str]] = defaultdict(list)
    for clipart in kept:
        queries[query_text(clipart.title)].append(clipart.stem)
    out.mkdir(parents=True, exist_ok=True)
    _write_csv(
        out / "pictures.csv",
        ("key", "image"),
        [(clipart.stem, str(clipart.png.absolute())) for clipart in kept],
    )
    _write_csv(
        out / "queries.csv",
        ("text", "relevant"),
        [(text, "|".join(keys)) for text, keys in sorted(queries.items())],
    )
    return EvaluationSummary(len(kept), len(queries), without_title, flags, too_large, unreadable)


@dataclass(frozen=True, slots=True)
class _Metadata:
    title: str = ""
    keywords: tuple[str, ...] = ()
    author: str = ""
    public_domain: bool = False
    whole: bool = True


def _read_metadata(svg: Path, *, file_name: str) -> _Metadata:
    """Read the metadata of an SVG file.

    Regular expressions are used instead of an XML parser: nothing is expanded or fetched, and a malformed file still
    yields its title.
    """
    try:
        data = svg.read_bytes()
    except OSError:
        return _Metadata()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    block = _element("metadata", text)
    creator = _element("creator", block)
    # Publisher, creator and rights have titles of their own, which are names of people.
    work = re.sub(r"<(?:\w+:)?(creator|publisher|rights)\b.*?</(?:\w+:)?\1>", "", block, flags=re.DOTALL)
    title = _plain(_element("title", work))
    if batch := _BATCH_TITLE.match(title):
        # These files were saved from one another, and most kept the first title. Trust it if the file name agrees.
        title = batch["name"] if batch["name"] == file_name else ""
    words = re.findall(r"<(?:\w+:)?li\b[^>]*>(.*?)</(?:\w+:)?li>", _element("subject", work), flags=re.DOTALL)
    licence = re.search(r"<(?:\w+:)?license\b[^>]*resource=[\"']([^\"']*)", work)
    return _Metadata(
        title=" ".join(title.replace("_", " ").split()),
        keywords=tuple(word for word in map(_plain, words) if word not in ("", "hash")),
        author=_plain(_element("title", creator)),
        public_domain=licence is not None and "publicdomain" in licence[1].lower(),
        whole=_LINKED_PICTURE.search(text) is None,
    )


def _element(name: str, text: str) -> str:
    """Return the content of the first element of that name, or an empty string."""
    found = re.search(rf"<(?:\w+:)?{name}\b[^>]*(?<!/)>(.*?)</(?:\w+:)?{name}\s*>", text, flags=re.DOTALL)
    return found[1] if found else ""


def _plain(text: str) -> str:
    """Return text without tags, escapes (some are escaped twice) and control characters, and with single spaces."""
    text = html.unescape(html.unescape(re.sub(r"<[^>]*>", " ", text)))
    with contextlib.suppress(UnicodeError):
        text = text.encode("latin-1").decode("utf-8")  # UTF-8 that was mistaken for Latin-1 on submission
    return " ".join("".join(letter for letter in text if letter.isprintable() or letter.isspace()).split())


def _normalized(text: str) -> str:
    """Return text in lower case with every run of characters that are neither letters nor digits as one space."""
    return " ".join(re.sub(r"[\W_]+", " ", text.casefold()).split())


def _write_csv(path: Path, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)

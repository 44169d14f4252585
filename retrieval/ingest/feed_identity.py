"""The name under which a catalog knows the feed of a folder.

A folder is known by its resolved place: the feed that was last read from there keeps its name and its keys. A folder at
a new place is compared with the catalog. If its pictures are those that the catalog has under their keys, it was moved
or copied and is the same feed. If they are other pictures, or another folder of the same name is known, it is a feed of
its own, named by its last two folders, and its keys begin with that name, so that neither replaces items of the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from lookalike.data.errors import NotAPicture
from lookalike.data.feeds.feed import Feed, named_feed, rows_of_feed
from lookalike.data.feeds.folder import readable_path
from lookalike.data.item import Item
from lookalike.data.pictures.image_decoder import read_bytes
from lookalike.data.pictures.video import is_video
from lookalike.retrieval.store.ledger import Ledger
from lookalike.retrieval.store.records import Records

__all__ = ["as_known", "identified"]

_COMPARED_PICTURES = 8
_ROWS_AT_ONCE = 2_000


def identified(feeds: Sequence[Feed], records: Records) -> list[Feed]:
    """Return feeds under the names that the catalog knows them by; files and feeds that were named stay as they are."""
    taken = set(records.ledger.feeds())
    places = {name: Path(source.path).resolve() for name, source in records.ledger.sources().items()}
    found = []
    for feed in feeds:
        one = feed if feed.is_named or feed.folder is None else _identified(feed, records, taken, places)
        taken.add(one.name)
        found.append(one)
    return found


def as_known(feed: Feed, name: str, ledger: Ledger) -> Feed:
    """Return the feed of a folder under the name `name`, which the ledger has, with the keys it had there."""
    prefix = f"{name}/"
    return named_feed(feed, name, prefix if "/" in name and ledger.all_below(name, prefix) else "")


def _identified(feed: Feed, records: Records, taken: set[str], places: dict[str, Path]) -> Feed:
    assert feed.folder is not None
    place = feed.folder.resolve()
    plain = readable_path(Path(place.name))
    here = [name for name, known in places.items() if known == place]
    if here:
        return as_known(feed, plain if plain in here else here[0], records.ledger)
    if plain in taken and plain not in places and plain in records.ledger.feeds():  # its place was never recorded
        return named_feed(feed, plain, "")
    same = _are_same(feed, records)
    if same:
        return named_feed(feed, plain, "")
    if same is None and plain not in taken:
        is_one_of_several = feed.name != plain  # of one name, opened together
        return named_feed(feed, feed.name, f"{feed.name}/" if is_one_of_several else "")
    name = _free_name(place, taken)
    note = (
        f"A feed of its own, {name!r}, whose keys begin with {name}/: the catalog has another folder of this name or "
        "other pictures under the same keys. If it is the same collection at a new place, name its feed with --feed"
    )
    return named_feed(feed, name, f"{name}/", note=note)


def _are_same(feed: Feed, records: Records) -> bool | None:
    """Return whether pictures of a feed are those that the catalog has under their keys; None if it has no such key."""
    compared = alike = 0
    for item, digests in _known(feed, records):
        place = item.images[0].place
        if not isinstance(place, Path) or is_video(place):
            continue
        try:
            digest = hashlib.sha256(read_bytes(place)).digest()
        except NotAPicture:
            continue
        compared += 1
        alike += digest in digests
        if compared == _COMPARED_PICTURES:
            break
    return alike * 2 >= compared if compared else None


def _known(feed: Feed, records: Records) -> Iterator[tuple[Item, set[bytes]]]:
    """Yield the items of a feed whose keys the catalog has, with the hashes of the pictures it has under them."""
    entries = iter(rows_of_feed(feed) if records.count() else ())
    while chunk := list(islice(entries, _ROWS_AT_ONCE)):
        items = {entry.key: entry for entry in chunk if isinstance(entry, Item)}
        rows = records.items_of_keys(list(items))
        images = records.images([row.id for row in rows.values()])
        for key, row in rows.items():
            yield items[key], {image.sha256 for image in images.get(row.id, ())}


def _free_name(place: Path, taken: set[str]) -> str:
    """Return the last two folders of a path, or as many as no other feed is named by."""
    parts = place.parts[1:] if place.anchor else place.parts
    names = [readable_path(Path(*parts[-count:])) for count in range(2, len(parts) + 1)]
    free = next((name for name in names if name not in taken), None)
    return free or next(name for number in range(2, len(taken) + 3) if (name := f"{place.name}/{number}") not in taken)

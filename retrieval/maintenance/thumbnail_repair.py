"""Rebuilding missing or damaged thumbnails from pictures whose bytes are still those that were indexed.

A picture is identified by the hash of its bytes, so it may be anywhere: in the cache of fetched pictures, at the path
that the feed named, under the same file name elsewhere in the folder, or under another name.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import suppress
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote, urlsplit

from PIL import Image

from lookalike.data.catalog_layout import FETCHED, RECORDS, THUMBNAILS
from lookalike.data.errors import NotAPicture
from lookalike.data.feeds.folder_walk import walk
from lookalike.data.pictures.image_decoder import decode, read_bytes
from lookalike.data.pictures.picture_sources import is_address
from lookalike.data.pictures.video import frame_sha256, is_video, scenes, seconds_of, video_sha256
from lookalike.retrieval.files.thumbnails import Thumbnails
from lookalike.retrieval.store.database_file import RecordsState

__all__ = ["remake_thumbnails"]


def remake_thumbnails(catalog: Path, pictures: Path | None, image_ids: Iterable[str]) -> int:
    """Rebuild the thumbnails of pictures, given by their hashes in hexadecimal; return how many could be rebuilt.

    The pictures are searched for among those that were fetched, and in the folder `pictures`.
    """
    wanted = set(image_ids)
    thumbnails = Thumbnails(catalog / THUMBNAILS)
    made = 0
    tried: set[Path] = set()
    for path in _candidates(catalog, pictures, wanted):
        if path in tried:
            continue
        tried.add(path)
        for found, picture in _pictures_of(path, wanted):
            thumbnails.add(found, picture, checked=True)
            wanted.remove(found)
            made += 1
    return made


def _candidates(catalog: Path, pictures: Path | None, wanted: Set[str]) -> Iterator[Path]:
    """Yield files to search for pictures, the most likely first, while some are `wanted`."""
    cache = catalog / FETCHED / "pictures"
    yield from (path for image_id in sorted(wanted) if (path := cache / image_id[:2] / image_id).is_file())
    if pictures is None or not wanted:
        return
    sources = _sources(catalog, wanted)
    yield from (pictures / source for source in _wanted(sources, wanted))
    if not wanted:
        return
    files = [pictures / os.fsdecode(relative) for relative in walk(pictures)]
    by_name: defaultdict[str, list[Path]] = defaultdict(list)
    for path in files:
        by_name[path.name.casefold()].append(path)
    for source in _wanted(sources, wanted):
        yield from by_name.get(_file_name(source).casefold(), ())
    for path in files:
        if not wanted:
            return
        if not is_video(path):  # every frame of a video would have to be decoded
            yield path


def _sources(catalog: Path, wanted: Set[str]) -> Mapping[str, set[str]]:
    """Return the names that feeds had for the wanted pictures, by hash; a frame has the name of its video."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    with RecordsState.open(catalog / RECORDS) as state:
        for digest, source in state.rows("SELECT DISTINCT sha256, source FROM images WHERE died IS NULL"):
            if digest.hex() in wanted:
                found[digest.hex()].add(source if seconds_of(source) is None else source.rpartition("#")[0])
    return found


def _wanted(sources: Mapping[str, set[str]], wanted: Set[str]) -> Iterator[str]:
    """Yield the names of those pictures that are still wanted."""
    for image_id, names in sources.items():
        if image_id in wanted:
            yield from sorted(names)


def _file_name(source: str) -> str:
    path = unquote(urlsplit(source).path) if is_address(source) else source
    return PureWindowsPath(path).name  # it splits at both kinds of slashes


def _pictures_of(path: Path, wanted: Set[str]) -> Iterator[tuple[str, Image.Image]]:
    """Yield the wanted pictures of a file, itself or the frames of a video, each with its hash."""
    with suppress(NotAPicture):
        if is_video(path):
            video = video_sha256(path)
            for frame in scenes(path):
                if (digest := frame_sha256(video, frame.seconds).hex()) in wanted:
                    yield digest, frame.rgb
        else:
            content = read_bytes(path)
            if (digest := hashlib.sha256(content).hexdigest()) in wanted:
                yield digest, decode(content).rgb

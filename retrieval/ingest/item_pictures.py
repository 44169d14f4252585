"""The pictures of one item: read, hashed, decoded and resized, from files, from fetched pictures and from videos.

A picture whose bytes the catalog knows is not decoded again. A video gives an item one picture for each scene, named by
its time; a video whose bytes are known is not decoded again either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from lookalike.data.errors import FetchFailed, NotAPicture
from lookalike.data.fetch.fetched import Fetched
from lookalike.data.item import ItemImage
from lookalike.data.pictures.description import facts_of
from lookalike.data.pictures.image_decoder import Picture, decode, read_bytes
from lookalike.data.pictures.picture_facts import PictureFacts
from lookalike.data.pictures.picture_sources import read_place
from lookalike.data.pictures.video import frame_sha256, frame_source, is_video, scenes, seconds_of, video_sha256
from lookalike.models import Encoder, Prepared
from lookalike.retrieval.core import Core
from lookalike.retrieval.spaces.catalog_file import CatalogFile
from lookalike.retrieval.stored_rows import StoredImage

__all__ = ["LoadedImage", "PictureLoader", "Stored", "encode_pictures"]

Stored = dict[bytes, list[StoredImage]]
"""The images that an item has, by their hashes. An image that is matched is removed."""


@dataclass(slots=True)
class LoadedImage:
    """One picture of an item: known by its bytes (`kept`, `vectors`), `prepared` for the models, or `failed`.

    `vectors` are float16 rows as bytes, by space. `facts` are from its metadata, if that was to be read.
    """

    source: str
    sha256: bytes = b""
    width: int = 0
    height: int = 0
    vectors: Mapping[str, bytes] = field(default_factory=dict)
    kept: int | None = None
    prepared: Mapping[str, Prepared] | None = None
    failed: str | None = None
    facts: PictureFacts | None = None


class PictureLoader:
    """Loads the pictures of items, in any thread. With `restart`, it ignores everything that is known."""

    def __init__(self, core: Core, *, restart: bool, file: CatalogFile | None = None) -> None:
        Image.init()  # imports Pillow's plugins before any thread would: see `forks`
        self._core = core
        self._restart = restart
        self._file = file or core.file

    def load(
        self, images: Sequence[ItemImage], fetched: Sequence[Future[Fetched] | None], known: Sequence[StoredImage]
    ) -> list[LoadedImage]:
        """Load all pictures of an item; `known` are its stored images, and `fetched` futures of those from the web.

        A stored image is matched only once, even if a feed names it twice.
        """
        stored: Stored = {}
        for image in reversed(known) if not self._restart else ():
            stored.setdefault(image.sha256, []).append(image)
        return [
            loaded
            for image, future in zip(images, fetched, strict=True)
            for loaded in self._load_place(image, future, stored)
        ]

    def _load_place(self, image: ItemImage, fetched: Future[Fetched] | None, stored: Stored) -> list[LoadedImage]:
        """Read the picture or video at one place."""
        try:
            if fetched is not None:
                return [self._load_fetched(image.source, fetched.result(), stored)]
            if isinstance(image.place, Path) and is_video(image.place):
                return _with_facts(self._load_video(image.source, image.place, stored), b"", image)
            content = read_place(image.place)
            digest = hashlib.sha256(content).digest()
            loaded = self._known(image.source, digest, stored) or self._decoded(image.source, digest, content)
            return _with_facts([loaded], content, image)
        except NotAPicture as error:
            return [LoadedImage(image.source, failed=str(error))]

    def _load_fetched(self, source: str, fetched: Fetched, stored: Stored) -> LoadedImage:
        known = self._known(source, fetched.sha256, stored)
        return known or self._decoded(source, fetched.sha256, _read_fetched(fetched))

    def _load_video(self, source: str, path: Path, stored: Stored) -> list[LoadedImage]:
        """Read the frames of a video. One commit stores all frames of a video, so known frames are complete."""
        video = video_sha256(path)
        frames = [(seconds_of(one.source), one) for images in stored.values() for one in images]
        kept = sorted(
            (seconds, one.id, one)
            for seconds, one in frames
            if seconds is not None and one.sha256 == frame_sha256(video, seconds)
        )
        if kept:
            for _, _, one in kept:
                stored[one.sha256].remove(one)
            return [
                LoadedImage(frame_source(source, seconds), one.sha256, one.width, one.height, kept=id_)
                for seconds, id_, one in kept
            ]
        loaded = []
        for frame in scenes(path):
            name, digest = frame_source(source, frame.seconds), frame_sha256(video, frame.seconds)
            known = self._known_elsewhere(name, digest)
            loaded.append(known or self._prepared(name, digest, Picture(frame.rgb, *frame.rgb.size)))
        return loaded

    def _known(self, source: str, digest: bytes, stored: Stored) -> LoadedImage | None:
        """Return an image that the item has already, or with the vectors of an image of the same bytes; else None."""
        if stored.get(digest):
            same = stored[digest].pop()
            return LoadedImage(source, digest, same.width, same.height, kept=same.id)
        return self._known_elsewhere(source, digest)

    def _known_elsewhere(self, source: str, digest: bytes) -> LoadedImage | None:
        """Return an image with the vectors of a picture of the same bytes, of any item of the catalog; else None."""
        stored = {space: self._file.spaces[space].stored for space in self._file.picture_spaces}
        found = None if self._restart else self._core.records.image_vectors(digest, stored.values())
        if found is None or len(found[2]) < len(stored):
            return None
        width, height, vectors = found
        return LoadedImage(source, digest, width, height, {space: vectors[name] for space, name in stored.items()})

    def _decoded(self, source: str, digest: bytes, content: bytes) -> LoadedImage:
        side = max(encoder.spec.input_size for encoder in self._encoders().values())
        return self._prepared(source, digest, decode(content, min_side=side))

    def _prepared(self, source: str, digest: bytes, picture: Picture) -> LoadedImage:
        self._core.thumbnails.add(digest.hex(), picture.rgb, checked=self._restart)
        prepared = {space: encoder.prepare(picture.rgb) for space, encoder in self._encoders().items()}
        return LoadedImage(source, digest, picture.width, picture.height, prepared=prepared)

    def _encoders(self) -> dict[str, Encoder]:
        """Return the model of each space that pictures have vectors in."""
        return {space: self._core.models.of(self._file, space) for space in self._file.picture_spaces}


def encode_pictures(images: Sequence[LoadedImage], encoders: Mapping[str, Encoder]) -> int:
    """Set the vectors of the prepared pictures, in each space; return how many there were."""
    waiting = [(image, image.prepared) for image in images if image.prepared is not None]
    vectors: list[dict[str, bytes]] = [{} for _ in waiting]
    for space, encoder in encoders.items() if waiting else ():
        rows = encoder.encode_prepared([prepared[space] for _, prepared in waiting]).astype(np.float16)
        for found, row in zip(vectors, rows, strict=True):
            found[space] = row.tobytes()
    for (image, _), found in zip(waiting, vectors, strict=True):
        image.vectors, image.prepared = found, None
    return len(waiting)


def _read_fetched(fetched: Fetched) -> bytes:
    """Read a picture that was fetched.

    Raises:
        NotAPicture: its file is gone, or its content has changed.
    """
    if fetched.path is not None and fetched.path.is_file():
        content = read_bytes(fetched.path)
        if hashlib.sha256(content).digest() == fetched.sha256:
            return content
        fetched.path.unlink(missing_ok=True)
    raise FetchFailed("The fetched picture is not on disk any more; run this again.", temporary=True)


def _with_facts(loaded: list[LoadedImage], content: bytes, image: ItemImage) -> list[LoadedImage]:
    """Set the facts of the first of the loaded pictures, which are scenes if the file is a video."""
    if image.sidecars is not None and loaded:
        loaded[0].facts = facts_of(content, image.sidecars)
    return loaded

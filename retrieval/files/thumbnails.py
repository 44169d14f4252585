"""Small WebP pictures for display, named by the hash of the file they were made from."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from PIL import Image

from lookalike.data.atomic_write import atomic_write_bytes
from lookalike.data.errors import NotAPicture
from lookalike.data.pictures.image_decoder import check_thumbnail, thumbnail
from lookalike.data.record_files import is_held
from lookalike.retrieval.files.storage import failing

__all__ = ["Thumbnails"]

_HASH_CHARACTERS = frozenset("0123456789abcdef")


class Thumbnails:
    """The folder of a catalog's thumbnails, which can be rebuilt and are spread over 256 folders."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, image_id: str) -> Path | None:
        """Return the path of an image's thumbnail, or None if there is none or the id is not valid."""
        if len(image_id) != 64 or not set(image_id) <= _HASH_CHARACTERS:
            return None
        path = self._path(image_id)
        return path if path.is_file() and not is_held(path) else None

    def add(self, image_id: str, picture: Image.Image, *, checked: bool = False) -> None:
        """Create a picture's thumbnail unless there is one; with `checked`, unless there is one that can be shown."""
        path = self._path(image_id)
        if not path.exists() or (checked and not _can_be_shown(path)):
            self.put(image_id, thumbnail(picture))

    def put(self, image_id: str, content: bytes) -> None:
        """Store a ready thumbnail.

        Raises:
            StorageFailed: it cannot be written; nothing of it is left.
        """
        path = self._path(image_id)
        with failing(self._folder, "written to"):
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write_bytes(path, content, durable=False)

    def keep_only(self, image_ids: Collection[str]) -> tuple[int, int]:
        """Remove the thumbnails of all other images; return how many, and their size in bytes."""
        count = freed = 0
        for path in self._folder.glob("??/*.webp"):
            if path.stem not in image_ids:
                freed += path.stat().st_size
                count += 1
                path.unlink()
        return count, freed

    def _path(self, image_id: str) -> Path:
        return self._folder / image_id[:2] / f"{image_id}.webp"


def _can_be_shown(path: Path) -> bool:
    if is_held(path):
        return False
    try:
        check_thumbnail(path.read_bytes())
    except (OSError, NotAPicture):
        return False
    return True

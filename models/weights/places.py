"""Places of weights on this machine: the models folder, the hub's cache and torch's cache. No socket is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from lookalike.models.registry.names import WEIGHT_SUFFIXES

__all__ = ["MODELS_VARIABLE", "models_folder", "repository_file", "torch_file", "torch_folder", "weight_files"]

MODELS_VARIABLE = "LOOKALIKE_MODELS"
"""Environment variable that names a folder of weights. It is searched first, and `models fetch` writes to it."""


def models_folder() -> Path | None:
    """Return the folder that the environment variable names, or None."""
    named = os.environ.get(MODELS_VARIABLE, "").strip()
    return Path(named).expanduser() if named else None


def repository_file(repository: str, names: Sequence[str]) -> Path | None:
    """Return the first of `names` that is on this machine from the hub repository "organisation/name", or None.

    The models folder has repositories as `organisation/name/` or `name/`; HF_HOME decides where the hub's cache is.
    """
    own = models_folder()
    for name in names:
        for folder in (own / repository, own / repository.split("/")[1]) if own else ():
            if (folder / name).is_file():
                return folder / name
    from huggingface_hub import try_to_load_from_cache  # takes 0.2 s, and `compact` does not need it

    for name in names:
        cached: object = try_to_load_from_cache(repository, name)
        if isinstance(cached, str):
            return Path(cached)
    return None


def torch_file(name: str) -> Path | None:
    """Return a file that torchvision would download, or None if it is not on this machine."""
    own = models_folder()
    folders = [torch_folder()] if own is None else [own, torch_folder()]
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def torch_folder() -> Path:
    """Return the folder in which torch keeps its downloads, without importing torch."""
    home = os.environ.get("TORCH_HOME")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return (Path(home) if home else cache / "torch").expanduser() / "hub" / "checkpoints"


def weight_files(folder: Path) -> Iterator[Path]:
    """Yield the files of weights in a folder and its subfolders, in the order of their names."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in WEIGHT_SUFFIXES and path.is_file():
            yield path

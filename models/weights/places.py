"""Where weights lie on this machine: a folder of one's own, the hub's cache, torch's cache. No socket is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from lookalike.models.registry.names import WEIGHT_SUFFIXES

__all__ = ["MODELS_VARIABLE", "models_folder", "repository_file", "torch_file", "torch_folder", "weight_files"]

MODELS_VARIABLE = "LOOKALIKE_MODELS"
"""The environment variable that names a folder of weights: looked at first, and where `models fetch` writes."""


def models_folder() -> Path | None:
    """Give the folder that the environment names, None where it names none."""
    named = os.environ.get(MODELS_VARIABLE, "").strip()
    return Path(named).expanduser() if named else None


def repository_file(repository: str, names: Sequence[str]) -> Path | None:
    """Find the first of some files of a hub's repository, "organisation/name"; None where none is on the machine.

    In the models folder a repository is `organisation/name/` or `name/`; the hub's cache is where HF_HOME says.
    """
    own = models_folder()
    for name in names:
        for folder in (own / repository, own / repository.split("/")[1]) if own else ():
            if (folder / name).is_file():
                return folder / name
    from huggingface_hub import try_to_load_from_cache  # a fifth of a second, which `compact` has no use for

    for name in names:
        cached: object = try_to_load_from_cache(repository, name)
        if isinstance(cached, str):
            return Path(cached)
    return None


def torch_file(name: str) -> Path | None:
    """Find a file that torchvision would download; None where it is not on the machine."""
    own = models_folder()
    folders = [torch_folder()] if own is None else [own, torch_folder()]
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def torch_folder() -> Path:
    """Give the folder where torch keeps what it downloads, without importing torch to hear it."""
    home = os.environ.get("TORCH_HOME")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return (Path(home) if home else cache / "torch").expanduser() / "hub" / "checkpoints"


def weight_files(folder: Path) -> Iterator[Path]:
    """Go through the files of weights in a folder and those in it, in the order of their names."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in WEIGHT_SUFFIXES and path.is_file():
            yield path

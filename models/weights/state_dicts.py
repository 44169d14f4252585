"""Reading of files of weights, with the failures of the libraries as one error."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

from lookalike.data.errors import WeightsUnavailable
from lookalike.data.record_files import is_record_file

__all__ = ["loading", "read_state"]

_FAILURES = (
    OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, AssertionError, SafetensorError
)  # fmt: skip

_FILLS = {Tensor.uniform_, Tensor.normal_, Tensor.erfinv_, init.uniform_, init.normal_, init.kaiming_uniform_}


class _SkippedInitialisation(TorchFunctionMode):
    """Leaves the weights of new layers uninitialised; drawing random numbers takes a third of loading a network."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        options = kwargs or {}
        if function in _FILLS:
            return args[0] if args else options["tensor"]
        return function(*args, **options)


@contextmanager
def loading(weights: Path, name: str) -> Iterator[None]:
    """Turn the errors that a library raises while it builds a network and reads its weights into one error.

    Weights are not initialised inside the block, because all of them are about to be replaced.

    Raises:
        WeightsUnavailable: the file is damaged, contains code, or does not fit the network.
    """
    try:
        with warnings.catch_warnings(), _SkippedInitialisation():
            warnings.simplefilter("ignore")  # about layers renamed in newer releases of the library
            yield
    except pickle.UnpicklingError as error:
        raise WeightsUnavailable(
            f"{weights.name} is not a plain file of weights: reading it would run code from it, which is not done. "
            f"Save the model's state_dict, or a .safetensors file. ({_first_line(error)})"
        ) from error
    except _FAILURES as error:
        raise WeightsUnavailable(
            f"{weights.name} is damaged, or is not a file of weights of {name}: {_first_line(error)}"
        ) from error


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the named tensors of a .safetensors file or of a torch state_dict, without running code from it.

    Wrappers added by training scripts ("state_dict", "model", the prefix "module.") are removed.

    Raises:
        WeightsUnavailable: the file is part of a catalog's records.
    """
    if is_record_file(path):
        raise WeightsUnavailable(f"{path.name} is part of a catalog's records; it has no weights.")
    if path.suffix == ".safetensors":
        return load_file(path)
    state: Any = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError("it has no named tensors.")
    return {str(name).removeprefix("module."): value for name, value in state.items()}


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:300] if lines else type(error).__name__

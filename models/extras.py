"""Optional packages."""

from __future__ import annotations

import importlib.util

from lookalike.data.errors import MissingDependency

__all__ = ["is_installed", "require"]


def is_installed(package: str) -> bool:
    """Return whether a package can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def require(package: str, *, extra: str) -> None:
    """Check that a package is installed.

    Raises:
        MissingDependency: it is not installed; the message has the command that installs `extra`.
    """
    if not is_installed(package):
        raise MissingDependency(extra)

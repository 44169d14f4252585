"""Packages that not everybody installs."""

from __future__ import annotations

import importlib.util

from lookalike.data.errors import MissingDependency

__all__ = ["is_installed", "require"]


def is_installed(package: str) -> bool:
    """Say whether a package can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def require(package: str, *, extra: str) -> None:
    """Refuse to go on without a package.

    Raises:
        MissingDependency: it is not installed; the message says how to install it.
    """
    if not is_installed(package):
        raise MissingDependency(extra)

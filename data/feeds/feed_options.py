"""The options that decide how a source is read, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict, cast

from lookalike.data.errors import FeedError, UsageError
from lookalike.data.feeds.products import Variants

__all__ = ["FeedOptions", "absolute", "variants_of"]


class FeedOptions(TypedDict, total=False):
    """How a source is read.

    `key`, `image` and `title` name columns; None finds them by their usual names. `variants` decides what becomes of
    the variants of a product in an export of a shop system: "join" makes one item of them together, "items" one item
    each, with the key of the product as the field `group`, and None does as is usual for the system. `base` is the
    folder or the web address that the names of pictures are relative to; None stands for the feed's own folder.
    """

    key: str | None
    image: str | None
    title: str | None
    variants: str | None
    base: str | None


def absolute(options: FeedOptions) -> FeedOptions:
    """Return the options that are not None, as they mean the same wherever the current directory is.

    Raises:
        FeedError: `base` is not a web address, and no folder either.
    """
    options = cast(FeedOptions, {name: value for name, value in options.items() if value is not None})
    base = options.get("base")
    if base is None or base.lower().startswith(("http://", "https://")):
        return options
    folder = Path(base)
    if not folder.is_dir():
        raise FeedError(f"There is no folder of pictures at {base!r}.", remedy="Name a folder or a web address.")
    return {**options, "base": str(folder.absolute())}


def variants_of(options: FeedOptions) -> Variants | None:
    """Return what becomes of variants, or None for the usual way of the export.

    Raises:
        UsageError: the option is neither "join" nor "items".
    """
    wanted = options.get("variants")
    if wanted is None:
        return None
    if wanted not in tuple(Variants):
        raise UsageError(f"Variants are joined or items of their own (join, items), not {wanted!r}.")
    return Variants(wanted)

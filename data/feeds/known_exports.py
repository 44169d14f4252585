"""The exports of shop systems and marketplaces that are known by their columns."""

from __future__ import annotations

from collections.abc import Sequence

from lookalike.data.feeds.column_names import normal_name
from lookalike.data.feeds.export_format import Export
from lookalike.data.feeds.market_exports import MARKET_EXPORTS
from lookalike.data.feeds.shop_exports import SHOP_EXPORTS

__all__ = ["EXPORTS", "export_of"]

EXPORTS: Sequence[Export] = (*SHOP_EXPORTS, *MARKET_EXPORTS)
"""All known exports, the more particular ones first."""


def export_of(columns: Sequence[str]) -> Export | None:
    """Return the export that has these columns, or None if it is not a known one.

    >>> export_of(["Handle", "Title", "Variant Price", "Image Src"]).name
    'Shopify'
    """
    names = {normal_name(column) for column in columns}
    return next((export for export in EXPORTS if export.columns <= names), None)

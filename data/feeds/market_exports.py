"""The files of marketplaces and of advertising, as each one's documentation describes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from lookalike.data.feeds.export_format import COMMAS, VARIANTS, Export, Merge, first_of, has_word, names_of, unless

__all__ = ["MARKET_EXPORTS"]

# --- Amazon ---------------------------------------------------------------------------------------------------------

_AMAZON = Export(
    "Amazon",
    frozenset({"item sku", "item name", "main image url"}),
    key=("item sku",),
    title="item name",
    images=("main image url",),
    fields={
        "item sku": "sku",
        "standard price": "price",
        "list price": "retail_price",
        "quantity": "stock",
        "brand name": "brand",
        "product description": "description",
        "external product id": "gtin",
        "item type": "category",
        "item type keyword": "category",
        "feed product type": "product_type",
        "color name": "colour",
        "size name": "size",
    },
    left_out=names_of(
        "parent child; parent sku; relationship type; variation theme; update delete; external product id type; "
        "swatch image url; recommended browse nodes; generic keywords; fulfillment center id; "
        "merchant shipping group name"
    ),
    merges={**VARIANTS, "colour": Merge.LIST, "size": Merge.LIST},
    parent=first_of("parent sku"),
    variant=unless(has_word("parent child", "parent"), "item sku"),
)
_NEW_AMAZON = replace(
    _AMAZON,
    columns=frozenset({"contribution sku", "item name", "main product image locator media location"}),
    key=("contribution sku",),
    images=(
        "main product image locator media location",
        *(f"other product image locator {number} media location" for number in range(1, 9)),
    ),
    fields={
        "contribution sku": "sku",
        "product description": "description",
        "purchasable offer our price schedule value with tax": "price",
        "list price value": "retail_price",
        "fulfillment availability quantity": "stock",
        "amzn1 volt ca product id value": "gtin",
        "externally assigned product identifier": "gtin",
        "item type keyword": "category",
        "color": "colour",
    },
    left_out=names_of(
        "parentage level; child parent sku relationship parent sku; child relationship type; variation theme name; "
        "record action; amzn1 volt ca product id type; externally assigned product identifier type; "
        "fulfillment availability fulfillment channel code; swatch product image locator media location"
    ),
    parent=first_of("child parent sku relationship parent sku"),
    variant=unless(has_word("parentage level", "parent"), "contribution sku"),
)

# --- Etsy, eBay -----------------------------------------------------------------------------------------------------

_ETSY = Export(
    "Etsy",
    frozenset({"title", "price", "currency code", "image1", "materials"}),
    key=("sku", "title"),
    title="title",
    images=("image1",),
    fields={"currency code": "currency", "quantity": "stock"},
    left_out=names_of("variation type"),
    lists={"tags": COMMAS, "materials": COMMAS, "sku": COMMAS},
    merges={"sku": Merge.LIST},
    options=tuple((f"variation {number} name", f"variation {number} values") for number in (1, 2)),
)
_EBAY_DETAIL = re.compile(r"(?:^|\|)\s*(?P<name>[^=|]+)=(?P<value>[^|]*)")
_EBAY = Export(
    "eBay",
    frozenset({"pic url", "title"}),
    key=("custom label sku", "custom label", "item id", "item number", "title"),
    title="title",
    images=("pic url",),
    fields={
        "custom label": "sku",
        "custom label sku": "sku",
        "start price": "price",
        "quantity": "stock",
        "category id": "category",
        "category name": "category_name",
        **dict.fromkeys(("p upc", "p ean", "p isbn", "product upc", "product ean"), "gtin"),
        "upc": "gtin",
        "ean": "gtin",
    },
    left_out=names_of(
        "action site id; relationship; relationship details; duration; location; dispatch time max; gallery type; "
        "payment profile name; return profile name; shipping profile name; pay pal accepted; pay pal email address"
    ),
    merges=VARIANTS,
    follows=has_word("relationship", "variation"),
    variant=first_of("custom label", "custom label sku"),
    attributes={"relationship details": _EBAY_DETAIL},
)
_NEW_EBAY = replace(_EBAY, columns=frozenset({"item photo url", "title"}), images=("item photo url",))

# --- Google Merchant, Facebook --------------------------------------------------------------------------------------

_GOOGLE = Export(
    "Google Merchant or Facebook",
    frozenset({"id", "title", "image link"}),
    key=("id",),
    title="title",
    images=("image link", "additional image link"),
    fields={"google product category": "category", "product type": "product_type"},
    left_out=names_of("item group id"),
    merges=VARIANTS,
    parent=first_of("item group id"),
    variant=first_of("id"),
    joins=False,
    intervals={"sale price effective date": ("sale_from", "sale_until")},
)
_FACEBOOK = replace(
    _GOOGLE,
    columns=frozenset({"id", "title", "image 0 url"}),
    images=tuple(f"image {number} url" for number in range(20)),
    left_out=names_of("item group id; image tag"),
)

MARKET_EXPORTS: Sequence[Export] = (
    _AMAZON,
    _NEW_AMAZON,
    _ETSY,
    _EBAY,
    _NEW_EBAY,
    _GOOGLE,
    _FACEBOOK,
)

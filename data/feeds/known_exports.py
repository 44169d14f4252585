"""The exports of shop systems that are known by their columns: what their columns mean, and which rows belong together.

Names of columns are as `normal_name` returns them. The formats are those of each system's public documentation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from lookalike.data.feeds.column_names import normal_name

__all__ = ["EXPORTS", "Export", "Merge", "export_of"]

Cells = Mapping[str, object]
"""A row's values by the normal names of their columns."""


class Merge(StrEnum):
    """What becomes of the values that the rows of one product have for a field."""

    FIRST = "first"
    LIST = "list"
    RANGE = "range"
    SUM = "sum"


@dataclass(frozen=True, slots=True)
class Export:
    """One kind of export.

    `columns` are those by which it is known. `key`, `title` and `images` name columns, the first of `key` that a row
    has being its key. `fields` renames columns, `left_out` are of no use for searching, and `lists` maps columns to the
    pattern between the elements of their cells. `merges` says what becomes of a field of several rows; the first value
    counts where it says nothing. `parent` returns the key of the product that a row is a variant of, or None;
    `options` are pairs of columns: the name of an option and its value, or values separated by commas.
    """

    name: str
    columns: frozenset[str]
    key: tuple[str, ...]
    title: str
    images: tuple[str, ...]
    fields: Mapping[str, str] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()
    lists: Mapping[str, str] = field(default_factory=dict)
    merges: Mapping[str, Merge] = field(default_factory=dict)
    parent: Callable[[Cells], str | None] | None = None
    options: tuple[tuple[str, str], ...] = ()


_COMMAS = r"\s*,\s*"
_PRICES = {"price": Merge.RANGE, "compare_at_price": Merge.RANGE, "sale_price": Merge.RANGE}
_VARIANTS = {"sku": Merge.LIST, "barcode": Merge.LIST, "gtin": Merge.LIST, "stock": Merge.SUM, **_PRICES}


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _same_key(*names: str) -> Callable[[Cells], str | None]:
    """Return a function that finds the product of a row under one of the names of columns."""

    def parent(cells: Cells) -> str | None:
        return next((text for name in names if (text := _text(cells.get(name)))), None)

    return parent


def _woo_parent(cells: Cells) -> str | None:
    return _text(cells.get("parent")) or None if _text(cells.get("type")).startswith("variation") else None


_SHOPIFY_NOISE = frozenset(
    "published; variant inventory tracker; variant inventory policy; variant fulfillment service; "
    "variant requires shipping; variant taxable; image position; image alt text; gift card; seo title; "
    "seo description; variant weight unit; variant tax code; inventory tracker; continue selling when out of stock; "
    "weight unit for display; requires shipping; fulfillment service; charge tax; tax code".split("; ")
)

EXPORTS: Sequence[Export] = (
    Export(
        "Shopify",
        frozenset({"handle", "variant price", "image src"}),
        key=("handle",),
        title="title",
        images=("image src", "variant image"),
        fields={
            "body html": "description",
            "product category": "category",
            "type": "product_type",
            "variant sku": "sku",
            "variant barcode": "barcode",
            "variant price": "price",
            "variant compare at price": "compare_at_price",
            "variant inventory qty": "stock",
            "variant grams": "grams",
        },
        left_out=_SHOPIFY_NOISE,
        lists={"tags": _COMMAS},
        merges=_VARIANTS,
        parent=_same_key("handle"),
        options=tuple((f"option{number} name", f"option{number} value") for number in (1, 2, 3)),
    ),
    Export(
        "Shopify",
        frozenset({"url handle", "product image url"}),
        key=("url handle",),
        title="title",
        images=("product image url", "variant image url"),
        fields={
            "product category": "category",
            "type": "product_type",
            "inventory quantity": "stock",
            "weight value grams": "grams",
        },
        left_out=_SHOPIFY_NOISE,
        lists={"tags": _COMMAS},
        merges=_VARIANTS,
        parent=_same_key("url handle"),
        options=tuple((f"option{number} name", f"option{number} value") for number in (1, 2, 3)),
    ),
    Export(
        "WooCommerce",
        frozenset({"id", "type", "name", "images", "regular price"}),
        key=("id",),
        title="name",
        images=("images",),
        fields={
            "gtin upc ean or isbn": "gtin",
            "regular price": "price",
            "in stock": "in_stock",
            "short description": "summary",
        },
        left_out=frozenset(
            "is featured; visibility in catalog; tax status; tax class; backorders allowed; sold individually; "
            "allow customer reviews; purchase note; download limit; download expiry days; position; parent; type; "
            "grouped products; upsells; cross sells; shipping class".split("; ")
        ),
        lists={"categories": _COMMAS, "tags": _COMMAS},
        merges=_VARIANTS,
        parent=_woo_parent,
        options=tuple((f"attribute {number} name", f"attribute {number} value s") for number in range(1, 11)),
    ),
    Export(
        "Magento",
        frozenset({"sku", "store view code", "product type", "base image"}),
        key=("sku",),
        title="name",
        images=("base image", "additional images"),
        fields={"qty": "stock", "is in stock": "in_stock"},
        left_out=frozenset(
            "attribute set code; product websites; tax class name; visibility; url key; meta title; meta keywords; "
            "meta description; base image label; small image; small image label; thumbnail image; "
            "thumbnail image label; swatch image; swatch image label; additional image labels; "
            "display product options in; store view code; map enabled; msrp display actual price type; "
            "use config manage stock".split("; ")
        ),
        lists={"categories": _COMMAS},
        parent=_same_key("sku"),
    ),
    Export(
        "PrestaShop",
        frozenset({"product id", "image", "name", "reference", "quantity"}),
        key=("product id",),
        title="name",
        images=("image",),
        fields={"price tax excl": "price", "price tax incl": "price_with_tax", "quantity": "stock"},
    ),
    Export(
        "PrestaShop",
        frozenset({"id", "name", "image urls x y z"}),
        key=("id",),
        title="name",
        images=("image urls x y z",),
        fields={
            "categories x y z": "categories",
            "price tax excluded": "price",
            "price tax included": "price_with_tax",
            "reference": "reference",
            "quantity": "stock",
        },
        lists={"categories x y z": _COMMAS, "tags x y z": _COMMAS},
    ),
    Export(
        "BigCommerce",
        frozenset({"item type", "product id", "product name", "product code sku"}),
        key=("product id",),
        title="product name",
        images=("product image file 1", "product image url 1"),
        fields={
            "product code sku": "sku",
            "brand name": "brand",
            "product description": "description",
            "current stock level": "stock",
            "product upc ean": "gtin",
        },
        lists={"category": r"\s*;\s*"},
        merges=_VARIANTS,
    ),
    Export(
        "Squarespace",
        frozenset({"product id non editable", "variant id non editable", "hosted image urls"}),
        key=("product id non editable",),
        title="title",
        images=("hosted image urls",),
        left_out=frozenset({"variant id non editable", "product type non editable", "on sale", "visible"}),
        lists={"categories": _COMMAS, "tags": _COMMAS},
        merges=_VARIANTS,
        parent=_same_key("product id non editable"),
        options=tuple((f"option name {number}", f"option value {number}") for number in range(1, 7)),
    ),
    Export(
        "Amazon",
        frozenset({"item sku", "item name", "main image url"}),
        key=("item sku",),
        title="item name",
        images=("main image url",),
        fields={
            "standard price": "price",
            "quantity": "stock",
            "brand name": "brand",
            "product description": "description",
            "external product id": "gtin",
            "item type keyword": "category",
            "color name": "colour",
            "size name": "size",
        },
        left_out=frozenset({"parent child", "parent sku", "relationship type", "variation theme", "update delete"}),
        merges={**_VARIANTS, "colour": Merge.LIST, "size": Merge.LIST},
        parent=_same_key("parent sku"),
    ),
    Export(
        "Etsy",
        frozenset({"title", "price", "currency code", "image1", "materials"}),
        key=("sku", "title"),
        title="title",
        images=("image1",),
        fields={"currency code": "currency", "quantity": "stock"},
        lists={"tags": _COMMAS, "materials": _COMMAS},
        options=tuple((f"variation {number} name", f"variation {number} values") for number in (1, 2)),
    ),
    Export(
        "eBay",
        frozenset({"picurl", "title"}),
        key=("custom label sku", "customlabel", "itemid", "item number", "title"),
        title="title",
        images=("picurl",),
        fields={"startprice": "price", "quantity": "stock", "category id": "category"},
    ),
    Export(
        "Google Merchant or Facebook",
        frozenset({"id", "title", "image link"}),
        key=("id",),
        title="title",
        images=("image link", "additional image link"),
        fields={"item group id": "group", "google product category": "category", "product type": "product_type"},
    ),
)
"""All known exports, the more particular ones first."""


def export_of(columns: Sequence[str]) -> Export | None:
    """Return the export that has these columns, or None if it is not a known one.

    >>> export_of(["Handle", "Title", "Variant Price", "Image Src"]).name
    'Shopify'
    """
    names = {re.sub(r"^action .*", "action", normal_name(column)) for column in columns}
    return next((export for export in EXPORTS if export.columns <= names), None)

"""The exports of shop systems, as each system's documentation describes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from lookalike.data.feeds.export_format import (
    COMMAS,
    VARIANTS,
    Cells,
    Export,
    first_of,
    has_word,
    names_of,
    text_of_cell,
    unless,
)

__all__ = ["SHOP_EXPORTS"]

# --- Shopify --------------------------------------------------------------------------------------------------------


def _shopify_variant(handle: str, sku: str) -> Callable[[Cells], str | None]:
    """Return a function that returns the SKU of a variant, or else its handle and options."""

    def variant(cells: Cells) -> str | None:
        options = [text for number in (1, 2, 3) if (text := text_of_cell(cells.get(f"option{number} value")))]
        own = [text_of_cell(cells.get(handle)), *(one for one in options if one != "Default Title")]
        return text_of_cell(cells.get(sku)) or ("-".join(own) if options else None)

    return variant


_SHOPIFY_NOISE = names_of(
    "published; variant inventory tracker; variant inventory policy; variant fulfillment service; "
    "variant requires shipping; variant taxable; image position; image alt text; gift card; seo title; "
    "seo description; variant weight unit; variant tax code; inventory tracker; continue selling when out of stock; "
    "weight unit for display; requires shipping; fulfillment service; charge tax; tax code; "
    "published on online store; option1 linked to; option2 linked to; option3 linked to; cost per item; "
    "unit price total measure; unit price total measure unit; unit price base measure; unit price base measure unit; "
    "google shopping adwords grouping; google shopping adwords labels; google shopping custom label"
)
_SHOPIFY = Export(
    "Shopify",
    frozenset({"handle", "variant price", "image src"}),
    key=("handle",),
    title="title",
    images=("image src", "variant image"),
    own_images=("variant image",),
    fields={
        "body html": "description",
        "product category": "category",
        "standard product type": "category",
        "type": "product_type",
        "variant sku": "sku",
        "variant barcode": "barcode",
        "variant price": "price",
        "variant compare at price": "compare_at_price",
        "variant inventory qty": "stock",
        "variant grams": "grams",
    },
    left_out=_SHOPIFY_NOISE,
    lists={"tags": COMMAS},
    merges=VARIANTS,
    parent=first_of("handle"),
    variant=_shopify_variant("handle", "variant sku"),
    options=tuple((f"option{number} name", f"option{number} value") for number in (1, 2, 3)),
)
_NEW_SHOPIFY = replace(
    _SHOPIFY,
    columns=frozenset({"url handle", "product image url"}),
    key=("url handle",),
    images=("product image url", "variant image url"),
    own_images=("variant image url",),
    fields={
        "product category": "category",
        "type": "product_type",
        "inventory quantity": "stock",
        "weight value grams": "grams",
    },
    parent=first_of("url handle"),
    variant=_shopify_variant("url handle", "sku"),
)

# --- WooCommerce ----------------------------------------------------------------------------------------------------


def _woo_parent(cells: Cells) -> str | None:
    return (
        text_of_cell(cells.get("parent")) or None if text_of_cell(cells.get("type")).startswith("variation") else None
    )


def _woo_variant(cells: Cells) -> str | None:
    is_variable = text_of_cell(cells.get("type")).startswith("variable")
    return None if is_variable else first_of("sku", "id")(cells)


_WOOCOMMERCE = Export(
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
    left_out=names_of(
        "is featured; visibility in catalog; tax status; tax class; backorders allowed; sold individually; "
        "allow customer reviews; purchase note; download limit; download expiry days; position; parent; type; "
        "grouped products; upsells; cross sells; shipping class; published; low stock amount; external url; "
        "button text; attribute visible; attribute global; attribute default; download name; download url; download id"
    ),
    lists={"categories": COMMAS, "tags": COMMAS, "brands": COMMAS},
    merges=VARIANTS,
    parent=_woo_parent,
    variant=_woo_variant,
    options=tuple((f"attribute {number} name", f"attribute {number} value s") for number in range(1, 21)),
)

# --- Magento, Adobe Commerce ----------------------------------------------------------------------------------------

_VARIATION_SKU = re.compile(r"(?:^|[|,])\s*sku=([^,|]+)")


def _magento_children(cells: Cells) -> Sequence[str]:
    return _VARIATION_SKU.findall(text_of_cell(cells.get("configurable variations")))


_MAGENTO = Export(
    "Magento",
    frozenset({"sku", "store view code", "product type", "base image"}),
    key=("sku",),
    title="name",
    images=("base image", "additional images"),
    fields={"qty": "stock", "is in stock": "in_stock", "short description": "summary"},
    left_out=names_of(
        "attribute set code; product type; product websites; tax class name; visibility; url key; meta title; "
        "meta keywords; meta description; base image label; small image; small image label; thumbnail image; "
        "thumbnail image label; swatch image; swatch image label; additional image labels; hide from product page; "
        "display product options in; store view code; map enabled; msrp display actual price type; custom design; "
        "custom design from; custom design to; custom layout update; page layout; product options container; "
        "gift message available; out of stock qty; use config min qty; is qty decimal; allow backorders; "
        "use config backorders; min cart qty; use config min sale qty; max cart qty; use config max sale qty; "
        "notify on stock below; use config notify stock qty; manage stock; use config manage stock; "
        "use config qty increments; qty increments; use config enable qty inc; enable qty increments; "
        "is decimal divided; website id; related skus; related position; crosssell skus; crosssell position; "
        "upsell skus; upsell position; custom options; configurable variations; configurable variation labels; "
        "bundle price type; bundle sku type; bundle price view; bundle weight type; bundle values; "
        "bundle shipment type; associated skus; created at; updated at; new from date; new to date"
    ),
    lists={"categories": r"\s*[,|]\s*"},
    merges=VARIANTS,
    parent=first_of("sku"),
    children=_magento_children,
    variant=unless(has_word("product type", "configurable"), "sku"),
    splits_variants=True,
    attributes={
        "additional attributes": re.compile(r"(?:^|,)\s*(?P<name>\w+)=(?P<value>.*?)(?=,\s*\w+=|$)", re.DOTALL)
    },
)

# --- PrestaShop -----------------------------------------------------------------------------------------------------

_FEATURES = re.compile(r"(?:^|,)\s*(?P<name>[^:,]+):(?P<value>[^:,]*)[^,]*")
_PRESTASHOP = Export(
    "PrestaShop",
    frozenset({"product id", "image", "name", "reference", "quantity"}),
    key=("product id",),
    title="name",
    images=("image",),
    fields={"price tax excl": "price", "price tax incl": "price_with_tax", "quantity": "stock"},
    left_out=names_of("position"),
)
_PRESTASHOP_IMPORT = replace(
    _PRESTASHOP,
    columns=frozenset({"name", "image urls x y z"}),
    key=("product id", "id", "reference"),
    images=("image urls x y z",),
    fields={
        "categories x y z": "categories",
        "price tax excluded": "price",
        "price tax included": "price_with_tax",
        "tags x y z": "tags",
        "quantity": "stock",
        "active 0 1": "active",
        "on sale 0 1": "on_sale",
        "ean13": "gtin",
        "manufacturer": "brand",
        "short description": "summary",
    },
    left_out=names_of(
        "image alt texts x y z; delete existing images 0 no 1 yes; tax rules id; ecotax; meta title; meta keywords; "
        "meta description; url rewritten; text when in stock; text when backorder allowed; "
        "available for order 0 no 1 yes; product creation date; show price 0 no 1 yes; "
        "available online only 0 no 1 yes; customizable 0 no 1 yes; uploadable files 0 no 1 yes; "
        "text fields 0 no 1 yes; out of stock action; virtual product; file url; number of allowed downloads; "
        "expiration date; number of days; id name of shop; advanced stock management; depends on stock; warehouse; "
        "accessories x y z; visibility; delivery in stock; delivery out of stock; low stock level; minimal quantity"
    ),
    lists={"categories x y z": COMMAS, "tags x y z": COMMAS},
    attributes={"feature name value position": _FEATURES, "feature name value position customized": _FEATURES},
)

# --- BigCommerce ----------------------------------------------------------------------------------------------------

_BIGCOMMERCE_OPTION = re.compile(
    r"(?:^|,)\s*(?:\[\w+\])?(?P<name>[^=,\[\]]+)=(?P<value>[^:]*?)(?::[^,]*)?(?=,\s*(?:\[\w+\])?[^=,]+=|$)"
)
_BIGCOMMERCE_V3_OPTION = re.compile(r"Name=(?P<name>[^|]+)\|(?:[^|=]+=[^|]*\|)*?Value=(?P<value>.*?)(?=\|?Type=|$)")
_BIGCOMMERCE = Export(
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
    left_out=names_of(
        "item type; product type; bin picking number; option set; option set align; fixed shipping cost; "
        "free shipping; allow purchases; product visible; product availability; track inventory; low stock level; "
        "product image id; product image description; product image is thumbnail; product image sort; "
        "product inventoried; page title; meta keywords; meta description; myob asset acct; myob income acct; "
        "myob expense acct; show product condition; event date required; event date name; "
        "event date is limited; event date start date; event date end date; sort order; product tax class; "
        "stop processing rules; product url; redirect old url; gps enabled; tax provider tax code; "
        "product custom fields"
    ),
    lists={"category": r"\s*;\s*"},
    merges=VARIANTS,
    follows=has_word("item type", "sku", "rule"),
    variant=unless(has_word("item type", "product"), "product code sku"),
    splits_variants=True,
    attributes={"product name": _BIGCOMMERCE_OPTION},
)
_BIGCOMMERCE_V3 = replace(
    _BIGCOMMERCE,
    columns=frozenset({"item", "id", "name", "sku", "internal image url export"}),
    key=("id",),
    title="name",
    images=("internal image url export", "image url import"),
    fields={"current stock": "stock", "upc ean": "gtin", "brand id": "brand", "product condition": "condition"},
    left_out=names_of(
        "item; type; options; inventory tracking; low stock; product url; image description; image is thumbnail; "
        "image sort order; image id; meta description; meta keywords; page title; search keywords; sort order; "
        "product availability; is visible; is featured; free shipping; fixed shipping cost; tax class; youtube id; "
        "video title; video description; video sort order; variant image url; show product condition; warranty"
    ),
    lists={"categories": r"\s*;\s*"},
    follows=has_word("item", "variant", "image", "video"),
    variant=unless(has_word("item", "product", "image", "video"), "sku"),
    attributes={"options": _BIGCOMMERCE_V3_OPTION},
)

# --- Squarespace ----------------------------------------------------------------------------------------------------

_SQUARESPACE = Export(
    "Squarespace",
    frozenset({"product id non editable", "variant id non editable", "hosted image urls"}),
    key=("product id non editable",),
    title="title",
    images=("hosted image urls",),
    fields={"product url": "slug"},
    left_out=names_of("variant id non editable; product type non editable; product page; on sale; visible"),
    lists={"categories": COMMAS, "tags": COMMAS},
    merges=VARIANTS,
    parent=first_of("product id non editable"),
    variant=first_of("sku", "variant id non editable"),
    options=tuple((f"option name {number}", f"option value {number}") for number in range(1, 7)),
)

SHOP_EXPORTS: Sequence[Export] = (
    _SHOPIFY,
    _NEW_SHOPIFY,
    _WOOCOMMERCE,
    _MAGENTO,
    _PRESTASHOP,
    _PRESTASHOP_IMPORT,
    _BIGCOMMERCE,
    _BIGCOMMERCE_V3,
    replace(_BIGCOMMERCE_V3, columns=frozenset({"item", "name", "sku", "image url import"})),
    _SQUARESPACE,
)

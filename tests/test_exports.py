"""Exports of shop systems, made in their true shapes with the oddities of each, against the shop they come from."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lookalike import open_feed
from lookalike.data.errors import FeedError, UsageError
from lookalike.data.feeds.feed import Feed
from lookalike.data.item import Item, Rejected
from lookalike.data.pictures.picture_sources import Address

CDN = "https://cdn.shop.example/files"


@dataclass(frozen=True)
class Variant:
    """One size of a product."""

    sku: str
    gtin: str
    size: str | None
    price: float
    stock: int


@dataclass(frozen=True)
class Product:
    """One product of the made-up shop, as the tests expect it."""

    number: int
    title: str
    category: str
    tags: tuple[str, ...]
    pictures: tuple[str, ...]
    variants: tuple[Variant, ...]
    description: str = "Fired & glazed by hand."
    html: str = field(default="<p>Fired &amp; glazed <b>by hand</b>.</p>", repr=False)

    @property
    def handle(self) -> str:
        return self.title.lower().replace(" ", "-").replace("&", "and")

    @property
    def first(self) -> Variant:
        return self.variants[0]

    @property
    def prices(self) -> tuple[float, float]:
        found = [one.price for one in self.variants]
        return min(found), max(found)


def gtin(number: int) -> str:
    """Return a GTIN-13 that begins with zeros, with its check digit."""
    digits = f"00{number:010}"
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))
    return f"{digits}{-total % 10}"


def shop(products: int = 13) -> list[Product]:
    """Return a shop: every third product comes in three sizes, and has as many pictures as sizes and one more."""
    found = []
    for number in range(1, products + 1):
        sizes = ("S", "M", "L") if number % 3 == 0 else (None,)
        variants = tuple(
            Variant(
                f"00{number}{size or ''}", gtin(10 * number + place), size, round(9.5 + number + 2 * place, 2), number
            )
            for place, size in enumerate(sizes)
        )
        pictures = tuple(f"{CDN}/p{number:02}-{place}.jpg?v=16,7" for place in range(len(sizes) + 1))
        category = ("Kitchen > Mugs", "Kitchen > Bowls & Plates", "Garden > Pots")[number % 3]
        found.append(Product(number, f"Mug & Bowl {number}", category, ("new", f"kiln {number}"), pictures, variants))
    return found


def table(rows: Sequence[Mapping[str, object]], separator: str = ",") -> str:
    """Return rows as CSV, with all columns that any of them has, in the order in which they first occur."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", delimiter=separator)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def opened(path: Path, text: str, **options: str) -> tuple[Feed, dict[str, Item]]:
    """Write a feed and read it; no row may be rejected and no value left out."""
    path.write_text(text, encoding="utf-8")
    feed = open_feed(path, **options)  # type: ignore[arg-type]  # tests pass wrong options too
    entries = list(feed)
    assert [entry for entry in entries if not isinstance(entry, Item)] == []
    items = [entry for entry in entries if isinstance(entry, Item)]
    assert [warning for item in items for warning in item.warnings] == []
    assert len(items) == feed.count
    return feed, {item.key: item for item in items}


def sources(item: Item) -> list[str]:
    assert all(isinstance(image.place, Address) for image in item.images)
    return [image.source for image in item.images]


def check_joined(items: Mapping[str, Item], products: Sequence[Product], keys: Sequence[str]) -> None:
    """Check titles, pictures, prices, codes, stock and sizes of items that are whole products."""
    assert list(items) == list(keys)
    for product, key in zip(products, keys, strict=True):
        item = items[key]
        assert item.title == product.title
        assert sources(item) == list(product.pictures)
        assert (item.fields["price"], item.fields["price_max"]) == product.prices
        assert item.fields["description"] == product.description
        assert item.fields["gtin" if "gtin" in item.fields else "barcode"] == [one.gtin for one in product.variants]
        assert set(item.fields["sku"]) >= {one.sku for one in product.variants}  # type: ignore[arg-type]
        assert item.fields["stock"] == sum(one.stock for one in product.variants)
        sizes = [one.size for one in product.variants if one.size]
        assert item.fields.get("size") == (sizes or None)


def check_items(items: Mapping[str, Item], products: Sequence[Product], groups: Sequence[str]) -> None:
    """Check items that are variants: each has its own price, code and size, and the key of its product as group."""
    assert {key: item.fields["group"] for key, item in items.items()} == {
        one.sku: group for product, group in zip(products, groups, strict=True) for one in product.variants
    }
    for product in products:
        for one in product.variants:
            item = items[one.sku]
            assert item.title == product.title
            assert item.fields["price"] == one.price
            assert item.fields["stock"] == one.stock
            assert item.fields["gtin" if "gtin" in item.fields else "barcode"] == [one.gtin]
            assert item.fields.get("size") == ([one.size] if one.size else None)
            assert set(sources(item)) <= set(product.pictures)
            assert item.images


# --- Shopify ---------------------------------------------------------------------------------------------------------

OLD_SHOPIFY = {
    "sku": "Variant SKU",
    "price": "Variant Price",
    "barcode": "Variant Barcode",
    "stock": "Variant Inventory Qty",
    "handle": "Handle",
    "body": "Body (HTML)",
    "image": "Image Src",
    "position": "Image Position",
    "own": "Variant Image",
    "name": "Option1 Name",
    "value": "Option1 Value",
}
NEW_SHOPIFY = {
    "sku": "SKU",
    "price": "Price",
    "barcode": "Barcode",
    "stock": "Inventory quantity",
    "handle": "URL handle",
    "body": "Description",
    "image": "Product image URL",
    "position": "Image position",
    "own": "Variant image URL",
    "name": "Option1 name",
    "value": "Option1 value",
}


def shopify(products: Sequence[Product], names: Mapping[str, str]) -> str:
    """Return the rows of a handle: variants with a picture each, then rows that have only a picture."""
    rows: list[dict[str, object]] = []
    for product in products:
        for place, picture in enumerate(product.pictures):
            row: dict[str, object] = {names["handle"]: product.handle, "Title": ""}
            if place == 0:
                row |= {"Title": product.title, names["body"]: product.html, "Vendor": "Kiln", "Status": "active"}
                row |= {"Product category": product.category, "Tags": ", ".join(product.tags), "Published": "true"}
                row |= {names["name"]: "Size" if product.first.size else "Title"}
            if place < len(product.variants):
                one = product.variants[place]
                row |= {names["value"]: one.size or "Default Title", names["sku"]: f"'{one.sku}"}
                row |= {names["price"]: f"{one.price:.2f}", names["barcode"]: f"'{one.gtin}"}
                row |= {names["stock"]: one.stock, names["own"]: picture if one.size else ""}
            rows.append(row | {names["image"]: picture, names["position"]: place + 1})
    return table(rows)


@pytest.mark.parametrize("names", [OLD_SHOPIFY, NEW_SHOPIFY], ids=["old columns", "new columns"])
def test_shopify_rows_of_a_handle_are_one_product_with_all_pictures(tmp_path: Path, names: Mapping[str, str]) -> None:
    products = shop()
    feed, items = opened(tmp_path / "products_export.csv", shopify(products, names))
    assert feed.notes[0] == "Shopify export: 13 products in 34 rows."
    check_joined(items, products, [one.handle for one in products])
    assert [item.fields["category"] for item in items.values()] == [one.category for one in products]
    assert [item.fields["tags"] for item in items.values()] == [list(one.tags) for one in products]
    assert not {"published", "image_position", "variant_image"} & set(feed.columns)


@pytest.mark.parametrize("names", [OLD_SHOPIFY, NEW_SHOPIFY], ids=["old columns", "new columns"])
def test_shopify_variants_as_items_have_their_own_picture_price_and_codes(
    tmp_path: Path, names: Mapping[str, str]
) -> None:
    products = shop()
    feed, items = opened(tmp_path / "products_export.csv", shopify(products, names), variants="items")
    assert feed.notes[0] == "Shopify export: 13 products in 34 rows, 21 variants as items of their own."
    check_items(items, products, [one.handle for one in products])
    assert sources(items["003M"]) == [products[2].pictures[1]]
    assert sources(items["001"]) == list(products[0].pictures)
    assert items["003L"].fields["tags"] == ["new", "kiln 3"]


def test_shopify_variants_without_codes_are_known_by_handle_and_options(tmp_path: Path) -> None:
    text = shopify(shop(), OLD_SHOPIFY).replace("'003S", "").replace("'003M", "").replace("'001,", ",")
    _, items = opened(tmp_path / "products_export.csv", text, variants="items")
    assert list(items)[:5] == ["mug-and-bowl-1", "002", "mug-and-bowl-3-S", "mug-and-bowl-3-M", "003L"]


def test_shopify_codes_that_two_products_share_do_not_cost_a_variant(tmp_path: Path) -> None:
    text = shopify(shop(), OLD_SHOPIFY).replace("'002,", "'001,")
    _, items = opened(tmp_path / "products_export.csv", text, variants="items")
    assert list(items)[:2] == ["mug-and-bowl-1-001", "mug-and-bowl-2-001"]


# --- WooCommerce -----------------------------------------------------------------------------------------------------


def woocommerce(products: Sequence[Product]) -> str:
    """Return products, then their variations, which name the parent by its SKU or by its id in turn."""
    rows: list[dict[str, object]] = []
    for product in products:
        simple = product.first.size is None
        categories = product.category + (r", Cups\, Mugs" if product.number == 1 else ", Sale")
        row: dict[str, object] = {
            "ID": 1000 + product.number,
            "Type": "simple" if simple else "variable",
            "SKU": product.first.sku if simple else f"00{product.number}",
            "GTIN, UPC, EAN, or ISBN": product.first.gtin if simple else "",
            "Name": product.title.replace("&", "&amp;"),
            "Published": 1,
            "Is featured?": 0,
            "Description": product.html.replace(" &amp;", r"\n&amp;"),
            "In stock?": 1,
            "Stock": product.first.stock if simple else "",
            "Regular price": product.first.price if simple else "",
            "Categories": categories,
            "Tags": ", ".join(product.tags),
            "Images": ", ".join(product.pictures),
            "Parent": "",
        }
        if not simple:
            row |= {"Attribute 1 name": "Size", "Attribute 1 value(s)": "S, M, L", "Attribute 1 visible": 1}
        rows.append(row)
    for product in products:
        for place, one in enumerate(product.variants if product.first.size else ()):
            parent = f"00{product.number}" if place % 2 else f"id:{1000 + product.number}"
            rows.append(
                {"ID": f"{product.number}{place}77", "Type": "variation", "SKU": one.sku, "Name": product.title}
                | {"GTIN, UPC, EAN, or ISBN": one.gtin, "Stock": one.stock, "Regular price": one.price}
                | {"Images": product.pictures[place], "Parent": parent, "In stock?": 1}
                | {"Attribute 1 name": "Size", "Attribute 1 value(s)": one.size}
            )
    return table(rows)


def test_woocommerce_variations_join_their_parent_and_lists_with_commas_are_split(tmp_path: Path) -> None:
    products = shop()
    feed, items = opened(tmp_path / "wc-product-export.csv", woocommerce(products))
    assert feed.notes[0] == "WooCommerce export: 13 products in 25 rows."
    assert [item.title for item in items.values() if item.key in ("1001", "1002")] == ["Mug & Bowl 1", "Mug & Bowl 2"]
    by_number = sorted(items, key=int)
    check_joined({key: items[key] for key in by_number}, products, [str(1000 + one.number) for one in products])
    assert items["1001"].fields["categories"] == ["Kitchen > Bowls & Plates", "Cups, Mugs"]
    assert items["1003"].fields["categories"] == ["Kitchen > Mugs", "Sale"]
    assert items["1003"].fields["sku"] == ["003", "003S", "003M", "003L"]
    assert not {"attribute_1_visible", "is_featured", "parent"} & set(feed.columns)


def test_woocommerce_variations_as_items_leave_out_the_parent(tmp_path: Path) -> None:
    products = shop()
    feed, items = opened(tmp_path / "wc-product-export.csv", woocommerce(products), variants="items")
    assert feed.notes[0].endswith("21 variants as items of their own.")
    check_items(items, products, [str(1000 + one.number) for one in products])
    assert sources(items["003M"]) == [products[2].pictures[1]]
    assert items["003M"].fields["categories"] == ["Kitchen > Mugs", "Sale"]


# --- Google Merchant and Facebook ------------------------------------------------------------------------------------


def google_rows(products: Sequence[Product]) -> Iterator[dict[str, object]]:
    for product in products:
        for one in product.variants:
            yield {
                "id": one.sku,
                "title": product.title,
                "description": product.html,
                "link": f"https://shop.example/{product.handle}?size={one.size}",
                "image_link": product.pictures[0],
                "additional_image_link": ",".join(product.pictures[1:]),
                "availability": "in_stock",
                "price": f"{one.price:.2f} USD",
                "sale_price": f"{one.price - 1:.2f} USD",
                "sale_price_effective_date": "2025-03-01T00:00-0800/2025-03-31T23:59-0700",
                "brand": "Kiln",
                "gtin": one.gtin,
                "mpn": f"{product.number}E1",
                "google_product_category": product.category,
                "item_group_id": f"G{product.number}" if one.size else "",
                "size": one.size or "",
            }


def check_google(feed: Feed, items: Mapping[str, Item], products: Sequence[Product], size: bool = True) -> None:
    note = "Google Merchant or Facebook export: 13 products in 21 rows, 21 variants as items of their own."
    assert feed.notes[0] == note
    assert list(items) == [one.sku for product in products for one in product.variants]
    for product in products:
        for one in product.variants:
            fields = items[one.sku].fields
            assert items[one.sku].title == product.title
            assert sources(items[one.sku]) == list(product.pictures)
            assert (fields["price"], fields["currency"], fields["gtin"]) == (one.price, "USD", one.gtin)
            assert fields["sale_price"] == round(one.price - 1, 2)
            assert fields["sale_from"] == datetime(2025, 3, 1, 8, tzinfo=UTC)
            assert fields["sale_until"] == datetime(2025, 4, 1, 6, 59, tzinfo=UTC)
            assert (fields["mpn"], fields["category"]) == (f"{product.number}E1", product.category)
            assert fields["group"] == (f"G{product.number}" if one.size else one.sku)
            assert fields["description"] == product.description


@pytest.mark.parametrize("between", ["_", " "], ids=["underscores", "blanks"])
def test_google_merchant_tsv_offers_are_items_with_a_group(tmp_path: Path, between: str) -> None:
    products = shop()
    head, _, rest = table(list(google_rows(products)), "\t").partition("\n")
    feed, items = opened(tmp_path / "google.tsv", f"{head.replace('_', between)}\n{rest}")
    check_google(feed, items, products)


def test_google_merchant_offers_of_a_group_are_joined_on_request(tmp_path: Path) -> None:
    products = shop()
    feed, items = opened(tmp_path / "google.tsv", table(list(google_rows(products)), "\t"), variants="join")
    assert feed.notes[0] == "Google Merchant or Facebook export: 13 products in 21 rows."
    assert list(items)[:4] == ["001", "002", "G3", "004"]
    assert (items["G3"].fields["price"], items["G3"].fields["price_max"]) == products[2].prices
    assert items["G3"].fields["gtin"] == [one.gtin for one in products[2].variants]


def element(name: str, value: object) -> str:
    text = str(value).replace("&", "&amp;").replace("<", "&lt;")
    return f"<g:{name}>{text}</g:{name}>" if text else ""


def google_xml(products: Sequence[Product], row: str, plain: str) -> str:
    entries = []
    for cells in google_rows(products):
        more = str(cells.pop("additional_image_link")).split(",http")
        links = [more[0], *(f"http{one}" for one in more[1:])]
        parts = [element(name, value) for name, value in cells.items()]
        parts += [element("additional_image_link", link) for link in links]
        parts.append("<g:shipping><g:country>US</g:country><g:price>4.95 USD</g:price></g:shipping>")
        entries.append(f"<{row}>{plain}{''.join(parts)}</{row}>")
    return "".join(entries)


def test_google_merchant_rss_has_repeated_pictures(tmp_path: Path) -> None:
    products = shop()
    inner = google_xml(products, "item", "<description>plain</description>")
    head = (
        '<?xml version="1.0"?><rss xmlns:g="http://base.google.com/ns/1.0" version="2.0"><channel><title>Shop</title>'
    )
    feed, items = opened(tmp_path / "google.xml", f"{head}{inner}</channel></rss>")
    check_google(feed, items, products)


def test_google_merchant_atom_ids_of_its_own_are_not_the_keys(tmp_path: Path) -> None:
    products = shop()
    plain = '<id>tag:shop.example,2025:/p</id><title>plain</title><link href="https://shop.example/p"/>'
    inner = google_xml(products, "entry", plain)
    head = '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0"><title>Shop</title>'
    feed, items = opened(tmp_path / "google.xml", f"{head}<id>tag:shop</id>{inner}</feed>")
    check_google(feed, items, products)


def test_facebook_template_has_a_line_of_explanations_above_the_header(tmp_path: Path) -> None:
    products = shop()
    rows = []
    for row in google_rows(products):
        pictures = [row.pop("image_link"), *str(row.pop("additional_image_link")).split(",https")]
        pictures = [pictures[0], pictures[1], *(f"https{one}" for one in pictures[2:])]
        rows.append(row | {f"image[{place}].url": one for place, one in enumerate(pictures)} | {"image[0].tag[0]": "x"})
    text = table(rows)
    explained = ",".join(f"# Required | about {place}" for place in range(len(text.splitlines()[0].split(","))))
    feed, items = opened(tmp_path / "catalog_products.csv", f"{explained}\n{text}")
    check_google(feed, items, products)


# --- Magento ---------------------------------------------------------------------------------------------------------


def magento(products: Sequence[Product]) -> str:
    """Return simple products, each with a row for a store view, and after them the configurable one that has them."""
    rows: list[dict[str, object]] = []
    for product in products:
        paths = [f"/m/{product.number}/{one.rpartition('/')[2].partition('?')[0]}" for one in product.pictures]
        categories = f"Default Category/{product.category.replace(' > ', '/')},Default Category/Sale"
        whole: dict[str, object] = {"name": product.title, "description": product.html, "categories": categories}
        for place, one in enumerate(product.variants):
            sizes = f",size={one.size}" if one.size else ""
            variant: dict[str, object] = {"name": f"{product.title}-{one.size}", "categories": categories}
            rows.append(
                (variant if one.size else whole)
                | {"sku": one.sku, "store_view_code": "", "attribute_set_code": "Default", "product_type": "simple"}
                | {"price": f"{one.price:.4f}", "qty": f"{one.stock:.4f}", "gtin": one.gtin}
                | {"base_image": paths[place], "small_image": paths[place]}
                | {"additional_images": ",".join(paths[1:]) if not one.size else ""}
                | {"additional_attributes": f"colour=Red|Blue,glaze=matt, like stone{sizes}"}
            )
            view: dict[str, object] = {
                "sku": one.sku,
                "store_view_code": "german",
                "product_type": "simple",
                "name": "Becher",
            }
            rows.append(view)
        if product.first.size:
            variations = "|".join(f"sku={one.sku},size={one.size}" for one in product.variants)
            parent: dict[str, object] = {"sku": f"C{product.number}", "store_view_code": "", **whole}
            rows.append(
                parent
                | {
                    "product_type": "configurable",
                    "base_image": paths[0],
                    "additional_images": ",".join(paths),
                    "qty": "0.0000",
                }
                | {"configurable_variations": variations, "configurable_variation_labels": "size=Size"}
            )
    return table(rows)


def magento_key(product: Product) -> str:
    return f"C{product.number}" if product.first.size else product.first.sku


def test_magento_configurables_get_their_variants_and_store_views_are_no_products(tmp_path: Path) -> None:
    products = shop()
    feed, items = opened(tmp_path / "export_catalog_product.csv", magento(products), base=f"{CDN}/")
    assert feed.notes[0] == "Magento export: 13 products in 46 rows."
    assert sorted(items) == sorted(map(magento_key, products))
    for product in products:
        item = items[magento_key(product)]
        assert item.title == product.title
        assert sources(item) == [
            f"m/{product.number}/{one.rpartition('/')[2].partition('?')[0]}" for one in product.pictures
        ]
        assert item.images[0].place == Address(f"{CDN}/m/{product.number}/p{product.number:02}-0.jpg")
        assert (item.fields["price"], item.fields["price_max"]) == product.prices
        assert item.fields["stock"] == sum(one.stock for one in product.variants)
        assert set(item.fields["sku"]) >= {one.sku for one in product.variants}  # type: ignore[arg-type]
        assert item.fields["gtin"] == [one.gtin for one in product.variants]
        path = product.category.replace(" > ", "/")
        assert item.fields["categories"] == [f"Default Category/{path}", "Default Category/Sale"]
        assert item.fields["description"] == product.description
        assert (item.fields["colour"], item.fields["glaze"]) == (["Red", "Blue"], ["matt, like stone"])
        assert item.fields.get("size") == ([one.size for one in product.variants] if product.first.size else None)


def test_magento_simple_products_as_items_have_the_configurable_one_as_group(tmp_path: Path) -> None:
    products = shop()
    _, items = opened(tmp_path / "export_catalog_product.csv", magento(products), variants="items", base=CDN)
    assert {key: item.fields["group"] for key, item in items.items()} == {
        one.sku: magento_key(product) for product in products for one in product.variants
    }
    assert (items["003M"].title, items["003M"].fields["size"]) == ("Mug & Bowl 3-M", ["M"])
    assert items["003M"].fields["description"] == products[2].description
    assert [image.source for image in items["003M"].images] == ["m/3/p03-1.jpg"]


# --- PrestaShop ------------------------------------------------------------------------------------------------------


def test_prestashop_list_of_products(tmp_path: Path) -> None:
    products = shop()
    rows = [
        {"Product ID": one.number, "Image": f"{CDN}/{one.number}-small_default/mug.jpg", "Name": one.title}
        | {"Reference": one.first.sku, "Category": one.category, "Price (tax excl.)": f"{one.first.price:.2f} €"}
        | {"Price (tax incl.)": f"{one.first.price * 2:.2f} €", "Quantity": one.first.stock, "Status": 1, "Position": 0}
        for one in products
    ]
    feed, items = opened(tmp_path / "product_2025-03-01.csv", table(rows, ";"))
    assert feed.notes[0] == "PrestaShop export: 13 products."
    for one in products:
        item = items[str(one.number)]
        assert (item.title, sources(item)) == (one.title, [f"{CDN}/{one.number}-small_default/mug.jpg"])
        assert (item.fields["price"], item.fields["currency"]) == (one.first.price, "EUR")
        assert item.fields["price_with_tax"] == one.first.price * 2
        assert (item.fields["category"], item.fields["reference"]) == (one.category, one.first.sku)
        assert item.fields["stock"] == one.first.stock


def test_prestashop_import_file_has_lists_of_pictures_categories_and_features(tmp_path: Path) -> None:
    products = shop()
    rows = [
        {"Product ID": one.number, "Active (0/1)": 1, "Name *": one.title, "Categories (x,y,z...)": "Home,Kitchen"}
        | {"Price tax excluded": f"{one.first.price:.6f}", "Reference #": one.first.sku, "EAN13": one.first.gtin}
        | {"Manufacturer": "Kiln", "Quantity": one.first.stock, "Description": one.html}
        | {"Tags (x,y,z...)": ",".join(one.tags), "Image URLs (x,y,z...)": ",".join(one.pictures)}
        | {"Image alt texts (x,y,z...)": "front,back", "Feature(Name:Value:Position)": "Glaze:Matt:1,Made in:Fez:2"}
        for one in products
    ]
    feed, items = opened(tmp_path / "products_import.csv", table(rows, ";"))
    assert feed.notes[0] == "PrestaShop export: 13 products."
    for one in products:
        item = items[str(one.number)]
        assert (item.title, sources(item)) == (one.title, list(one.pictures))
        assert (item.fields["price"], item.fields["gtin"]) == (one.first.price, one.first.gtin)
        assert item.fields["categories"] == ["Home", "Kitchen"]
        assert item.fields["tags"] == list(one.tags)
        assert (item.fields["glaze"], item.fields["made_in"]) == (["Matt"], ["Fez"])
        assert (item.fields["reference"], item.fields["brand"]) == (one.first.sku, "Kiln")


# --- BigCommerce -----------------------------------------------------------------------------------------------------


def bigcommerce(products: Sequence[Product]) -> str:
    """Return each product, below it a row for the stock and one for the price of each variant, indented by blanks."""
    rows: list[dict[str, object]] = []
    for product in products:
        simple = product.first.size is None
        row: dict[str, object] = {
            "Item Type": "Product",
            "Product ID": product.number,
            "Product Name": product.title,
            "Product Type": "P",
            "Product Code/SKU": product.first.sku if simple else f"00{product.number}",
            "Brand Name": "Kiln",
            "Product Description": product.html,
            "Price": product.first.price,
            "Current Stock Level": product.first.stock if simple else "",
            "Category": f"{product.category.replace(' > ', '/')};Sale",
            "Product UPC/EAN": product.first.gtin if simple else "",
        }
        for place, picture in enumerate(product.pictures, start=1):
            row |= {f"Product Image ID - {place}": 900 + place, f"Product Image File - {place}": picture}
            row |= {f"Product Image Description - {place}": "A mug", f"Product Image Sort - {place}": place}
        rows.append(row)
        for place, one in enumerate(() if simple else product.variants):
            rows.append(
                {"Item Type": "  SKU", "Product ID": 500 + 10 * product.number + place}
                | {"Product Name": f"[RB]Size={one.size},[S]Glaze=Sand:#C2B280", "Product Code/SKU": one.sku}
                | {"Current Stock Level": one.stock, "Product UPC/EAN": one.gtin}
            )
            rows.append({"Item Type": "  Rule", "Product Code/SKU": one.sku, "Price": one.price})
    return table(rows)


def test_bigcommerce_rows_of_skus_and_rules_belong_to_the_product_above(tmp_path: Path) -> None:
    products = shop()
    feed, items = opened(tmp_path / "products-bulk-edit.csv", bigcommerce(products))
    assert feed.notes[0] == "BigCommerce export: 13 products in 37 rows."
    check_joined(items, products, [str(one.number) for one in products])
    assert items["3"].fields["category"] == ["Kitchen/Mugs", "Sale"]
    assert items["3"].fields["glaze"] == ["Sand"]
    assert not {"product_image_id_1", "item_type"} & set(feed.columns)


def test_bigcommerce_skus_as_items_have_the_prices_of_their_rules(tmp_path: Path) -> None:
    products = shop()
    _, items = opened(tmp_path / "products-bulk-edit.csv", bigcommerce(products), variants="items")
    singles = [one for one in products if one.first.size is None]
    assert {item.fields["group"] for item in items.values()} == {str(one.number) for one in products}
    assert [items[str(one.number)].fields["price"] for one in singles] == [one.first.price for one in singles]
    for one in products[2].variants:
        fields = items[one.sku].fields
        assert (fields["price"], fields["stock"], fields["gtin"]) == (one.price, one.stock, [one.gtin])
        assert (fields["size"], items[one.sku].title) == ([one.size], products[2].title)


def test_bigcommerce_v3_rows_of_variants_and_images_belong_to_the_product_above(tmp_path: Path) -> None:
    products = shop()
    rows: list[dict[str, object]] = []
    for product in products:
        simple = product.first.size is None
        rows.append(
            {"Item": "Product", "ID": product.number, "Name": product.title, "Type": "physical"}
            | {"SKU": product.first.sku if simple else f"00{product.number}", "Options": ""}
            | {"Current Stock": product.first.stock if simple else 0, "Price": product.first.price}
            | {"Description": product.html, "Categories": f"{product.category};Sale"}
            | {"UPC/EAN": product.first.gtin if simple else ""}
        )
        for place, one in enumerate(() if simple else product.variants):
            options = f"Type=Rectangles|Name=Size|Value={one.size}Type=Dropdown|Name=Glaze|Value=Sand"
            rows.append(
                {"Item": "Variant", "ID": 700 + 10 * product.number + place, "SKU": one.sku, "Options": options}
                | {"Current Stock": one.stock, "Price": one.price, "UPC/EAN": one.gtin}
            )
        for place, picture in enumerate(product.pictures):
            rows.append(
                {"Item": "Image", "ID": 800 + 10 * product.number + place, "Internal Image URL (Export)": picture}
                | {"Image Description": "A mug", "Image Sort Order": place}
            )
    feed, items = opened(tmp_path / "products.csv", table(rows))
    assert feed.notes[0] == "BigCommerce export: 13 products in 59 rows."
    check_joined(items, products, [str(one.number) for one in products])
    assert items["3"].fields["glaze"] == ["Sand"]
    assert items["1"].fields["categories"] == [products[0].category, "Sale"]


# --- Squarespace -----------------------------------------------------------------------------------------------------


def squarespace(products: Sequence[Product]) -> str:
    """Return products with their first variant; rows of further variants have neither product id nor title."""
    rows: list[dict[str, object]] = []
    for product in products:
        for place, one in enumerate(product.variants):
            row: dict[str, object] = {
                "Product ID [Non Editable]": "" if place else f"5f{product.number:04}",
                "Variant ID [Non Editable]": f"v{product.number}-{place}",
                "Product Type [Non Editable]": "" if place else "PHYSICAL",
                "Product Page": "" if place else "shop",
                "Title": "" if place else product.title,
                "Description": "" if place else product.html,
                "SKU": one.sku,
                "GTIN": one.gtin,
                "Option Name 1": "Size" if one.size and not place else "",
                "Option Value 1": one.size or "",
                "Price": one.price,
                "On Sale": "No",
                "Stock": "Unlimited" if product.number == 1 else one.stock,
                "Categories": "" if place else f"/{product.category.replace(' > ', '/')}, /sale",
                "Tags": "" if place else ", ".join(product.tags),
                "Visible": "Yes",
                "Hosted Image URLs": "" if place else " ".join(product.pictures),
            }
            rows.append(row)
    return table(rows)


def test_squarespace_rows_without_a_product_id_are_variants_of_the_product_above(tmp_path: Path) -> None:
    products = shop()
    path = tmp_path / "products_Mar-01.csv"
    path.write_text(squarespace(products), encoding="utf-8")
    feed = open_feed(path)
    items = {one.key: one for one in feed if isinstance(one, Item)}
    assert feed.notes[0] == "Squarespace export: 13 products in 21 rows."
    assert [(one.column, one.value) for item in items.values() for one in item.warnings] == [("Stock", "Unlimited")]
    assert items["5f0001"].fields["stock"] is None
    rest = products[1:]
    check_joined({k: v for k, v in items.items() if k != "5f0001"}, rest, [f"5f{one.number:04}" for one in rest])
    assert items["5f0003"].fields["categories"] == ["/Kitchen/Mugs", "/sale"]
    assert items["5f0003"].fields["tags"] == ["new", "kiln 3"]


def test_squarespace_variants_as_items(tmp_path: Path) -> None:
    products = shop()
    text = squarespace(products).replace("Unlimited", "1")
    _, items = opened(tmp_path / "products_Mar-01.csv", text, variants="items")
    check_items(items, products, [f"5f{one.number:04}" for one in products])


# --- Amazon ----------------------------------------------------------------------------------------------------------

AMAZON: tuple[str, ...] = (
    "Product Type",
    "Seller SKU",
    "Brand",
    "Product Name",
    "Product ID",
    "Product ID Type",
    "Standard Price",
)
AMAZON += ("Quantity", "Product Description", "Parentage", "Parent SKU", "Size", "Main Image URL")


def amazon_rows(products: Sequence[Product]) -> Iterator[list[object]]:
    for product in products:
        front, *others = product.pictures
        urls = [front, *others, *[""] * (4 - len(product.pictures))]
        text = product.html
        if product.first.size:
            row = ["mug", f"P{product.number}", "Kiln", product.title, "", "", "", "", text, "Parent", "", "", *urls]
            yield list[object](row)
        for one in product.variants:
            child = ("Child", f"P{product.number}", one.size) if one.size else ("", "", "")
            pictures = [front, *[""] * 3] if one.size else urls
            yield [
                "mug",
                one.sku,
                "Kiln",
                product.title,
                one.gtin,
                "EAN",
                one.price,
                one.stock,
                text,
                *child,
                *pictures,
            ]


AMAZON_FIELDS: tuple[str, ...] = ("feed_product_type", "item_sku", "brand_name", "item_name", "external_product_id")
AMAZON_FIELDS += ("external_product_id_type", "standard_price", "quantity", "product_description", "parent_child")
AMAZON_FIELDS += (
    "parent_sku",
    "size_name",
    "main_image_url",
    "other_image_url1",
    "other_image_url2",
    "other_image_url3",
)


def amazon(products: Sequence[Product], fields: Sequence[str], first: Sequence[str]) -> str:
    """Return a flat file: the line of the template, the labels, the names of fields, and the offers."""
    labels = [*AMAZON, "Other Image URL1", "Other Image URL2", "Other Image URL3"]
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t")
    writer.writerows([[*first, *[""] * (len(labels) - len(first))], labels, fields, *amazon_rows(products)])
    return text.getvalue()


TEMPLATE = (
    "TemplateType=fptcustom",
    "Version=2021.1014",
    "TemplateSignature=Q0VS",
    "The top 3 rows are for Amazon.com",
)


def check_amazon(feed: Feed, items: Mapping[str, Item], products: Sequence[Product]) -> None:
    assert feed.notes[0] == "Amazon export: 13 products in 25 rows."
    assert "The last of 2 header lines names the columns." in feed.notes
    assert list(items) == [f"P{one.number}" if one.first.size else one.first.sku for one in products]
    for product, item in zip(products, items.values(), strict=True):
        assert (item.title, sources(item)) == (product.title, list(product.pictures))
        assert (item.fields["price"], item.fields["price_max"]) == product.prices
        assert item.fields["gtin"] == [one.gtin for one in product.variants]
        assert set(item.fields["sku"]) >= {one.sku for one in product.variants}  # type: ignore[arg-type]
        assert item.fields["stock"] == sum(one.stock for one in product.variants)
        assert item.fields["size"] == ([one.size for one in product.variants] if product.first.size else None)
        assert (item.fields["brand"], item.fields["description"]) == ("Kiln", product.description)


def test_amazon_flat_file_with_three_header_lines_joins_children_to_their_parent(tmp_path: Path) -> None:
    products = shop()
    feed, items = opened(tmp_path / "flat.txt", amazon(products, AMAZON_FIELDS, TEMPLATE))
    check_amazon(feed, items, products)


def test_amazon_children_as_items_leave_out_the_parent(tmp_path: Path) -> None:
    products = shop()
    _, items = opened(tmp_path / "flat.txt", amazon(products, AMAZON_FIELDS, TEMPLATE), variants="items")
    assert {key: item.fields["group"] for key, item in items.items()} == {
        one.sku: f"P{product.number}" if one.size else one.sku for product in products for one in product.variants
    }
    assert [items[one.sku].fields["price"] for one in products[2].variants] == [12.5, 14.5, 16.5]
    assert items["003M"].fields["size"] == ["M"]


def test_amazon_names_of_attributes_with_markets_and_languages(tmp_path: Path) -> None:
    market, text = "[marketplace_id=ATVPDKIKX0DER]", "[marketplace_id=ATVPDKIKX0DER][language_tag=en_US]"
    other = [f"other_product_image_locator_{number}{market}#1.media_location" for number in (1, 2, 3)]
    offer = f"purchasable_offer{market}[audience=ALL]#1.our_price#1.schedule#1.value_with_tax"
    fields = ["product_type#1.value", "contribution_sku#1.value", f"brand{text}#1.value", f"item_name{text}#1.value"]
    fields += ["amzn1.volt.ca.product_id_value", "amzn1.volt.ca.product_id_type", offer]
    fields += ["fulfillment_availability#1.quantity", f"product_description{text}#1.value"]
    fields += [f"parentage_level{market}#1.value", f"child_parent_sku_relationship{market}#1.parent_sku"]
    fields += [f"size{text}#1.value", f"main_product_image_locator{market}#1.media_location", *other]
    products = shop()
    feed, items = opened(tmp_path / "flat.txt", amazon(products, fields, ("settings=attributeRow=3&dataRow=4",)))
    check_amazon(feed, items, products)


# --- Etsy, eBay, a German ERP system ---------------------------------------------------------------------------------


def test_etsy_listings_have_one_row_with_all_variations(tmp_path: Path) -> None:
    products = shop()
    rows = []
    for product in products:
        row: dict[str, object] = {"TITLE": product.title, "DESCRIPTION": product.description}
        row |= {"PRICE": product.first.price, "CURRENCY_CODE": "EUR", "QUANTITY": product.first.stock}
        row |= {"TAGS": "new,hand_made", "MATERIALS": "stoneware,glaze"}
        row |= {f"IMAGE{place}": one for place, one in enumerate(product.pictures, start=1)}
        if product.first.size:
            row |= {"VARIATION 1 TYPE": "custom", "VARIATION 1 NAME": "Size", "VARIATION 1 VALUES": "S,M,L"}
        rows.append(row | {"SKU": ",".join(one.sku for one in product.variants)})
    feed, items = opened(tmp_path / "EtsyListingsDownload.csv", table(rows))
    assert feed.notes[0] == "Etsy export: 13 products."
    assert list(items) == [one.first.sku for one in products]
    for product, item in zip(products, items.values(), strict=True):
        assert (item.title, sources(item)) == (product.title, list(product.pictures))
        assert (item.fields["price"], item.fields["currency"]) == (product.first.price, "EUR")
        assert item.fields["sku"] == [one.sku for one in product.variants]
        assert (item.fields["tags"], item.fields["materials"]) == (["new", "hand_made"], ["stoneware", "glaze"])
        assert item.fields.get("size") == (["S", "M", "L"] if product.first.size else None)
        assert item.fields["stock"] == product.first.stock


EBAY = {"label": "CustomLabel", "title": "*Title", "category": "*Category", "price": "*StartPrice", "number": "ItemID"}
EBAY |= {"stock": "*Quantity", "picture": "PicURL", "details": "RelationshipDetails", "gtin": "Product:EAN"}
SELLER_HUB = {"label": "Custom label (SKU)", "title": "Title", "category": "Category ID", "price": "Start price"}
SELLER_HUB |= {"stock": "Quantity", "picture": "Item photo URL", "details": "Relationship details", "gtin": "P:EAN"}
SELLER_HUB |= {"number": "Item number"}


@pytest.mark.parametrize("names", [EBAY, SELLER_HUB], ids=["File Exchange", "Seller Hub"])
def test_ebay_variations_follow_their_listing_below_lines_of_information(
    tmp_path: Path, names: Mapping[str, str]
) -> None:
    products = shop()
    rows = []
    action = "*Action(SiteID=Germany|Country=DE|Currency=EUR|Version=1193)"
    for product in products:
        simple = product.first.size is None
        row: dict[str, object] = {action: "Add", names["label"]: product.first.sku if simple else f"L{product.number}"}
        row |= {names["category"]: 20628, names["title"]: product.title, "*Description": product.html}
        row |= {
            names["picture"]: "|".join(product.pictures),
            names["number"]: "",
            "C:Brand": "Kiln",
            "Relationship": "",
        }
        details = "" if simple else "Size=S;M;L"
        rows.append(
            row
            | {names["price"]: product.first.price if simple else "", names["details"]: details}
            | {
                names["stock"]: product.first.stock if simple else "",
                names["gtin"]: product.first.gtin if simple else "",
            }
        )
        for place, one in enumerate(() if simple else product.variants):
            rows.append(
                {"Relationship": "Variation", names["details"]: f"Size={one.size}", names["label"]: one.sku}
                | {names["price"]: one.price, names["stock"]: one.stock, names["gtin"]: one.gtin}
                | {names["picture"]: f"{one.size}={product.pictures[place]}"}
            )
    above = "#INFO,Version=0.0.2,Template= eBay-draft-listings-template_DE\n#INFO Action and Category ID are required\n"
    feed, items = opened(tmp_path / "ebay.csv", above + table(rows))
    assert feed.notes[0] == "eBay export: 13 products in 25 rows."
    keys = [one.first.sku if one.first.size is None else f"L{one.number}" for one in products]
    check_joined(items, products, keys)
    assert [item.fields["brand"] for item in items.values()] == ["Kiln"] * 13
    _, items = opened(tmp_path / "ebay.csv", above + table(rows), variants="items")
    assert items["003M"].title == "Mug & Bowl 3"
    assert (items["003M"].fields["size"], items["003M"].fields["price"]) == (["M"], 14.5)
    assert sources(items["003M"]) == [products[2].pictures[1]]


def test_german_erp_export_in_windows_1252_with_decimal_commas_and_file_names(tmp_path: Path) -> None:
    lines = ["Artikel-Nr.;Bezeichnung;Warengruppe;VK-Preis;EAN;Bestand;Geändert am;Bild1;Bild2;"]
    for number in range(1, 14):
        price = f"1.{number:03},50"
        lines.append(
            f'{number:05};Becher "groß" Ø {number} cm;Küche;{price} €;{gtin(number)};{number},000;{number:02}.03.2025;'
            f"BILDER\\B{number:03}.JPG;bilder\\b{number:03}-2.jpg;"
        )
    (tmp_path / "bilder").mkdir()
    for number in range(1, 14):
        (tmp_path / "bilder" / f"b{number:03}.jpg").touch()
        (tmp_path / "bilder" / f"b{number:03}-2.jpg").touch()
    (tmp_path / "artikel.csv").write_bytes("\r\n".join(lines).encode("cp1252"))
    items = [one for one in open_feed(tmp_path / "artikel.csv") if isinstance(one, Item)]
    assert [item.key for item in items] == [f"{number:05}" for number in range(1, 14)]
    for number, item in enumerate(items, start=1):
        assert item.title == f'Becher "groß" Ø {number} cm'
        assert item.fields["VK-Preis"] == 1000.5 + number
        assert (item.fields["EAN"], item.fields["Warengruppe"]) == (gtin(number), "Küche")
        assert item.fields["Geändert am"] == datetime(2025, 3, number, tzinfo=UTC)
        assert [image.place for image in item.images] == [
            tmp_path / "bilder" / f"b{number:03}.jpg",
            tmp_path / "bilder" / f"b{number:03}-2.jpg",
        ]
        assert [one.reason for one in item.warnings] == [f"the file is called b{number:03}.jpg"]


# --- rows that do not fit ---------------------------------------------------------------------------------------------


def test_a_second_row_of_a_key_is_rejected_and_never_merged(tmp_path: Path) -> None:
    path = tmp_path / "google.csv"
    rows = [{"id": one, "title": "Mug", "image_link": f"{CDN}/1.jpg", "item_group_id": "G"} for one in ("a", "b", "a")]
    path.write_text(table(rows), encoding="utf-8")
    entries = list(feed := open_feed(path))
    assert (feed.count, [one.key for one in entries]) == (3, ["a", "b", "a"])
    assert isinstance(entries[2], Rejected)
    assert "has the key 'a' too" in entries[2].reason
    path.write_text(table([row | {"item_group_id": ""} for row in rows]), encoding="utf-8")
    entries = list(feed := open_feed(path))
    assert (feed.count, [one.key for one in entries]) == (3, ["a", "b", "a"])
    assert isinstance(entries[2], Rejected)
    listing = {"TITLE": "Mug", "PRICE": 1, "CURRENCY_CODE": "EUR", "MATERIALS": "clay", "IMAGE1": f"{CDN}/1.jpg"}
    (tmp_path / "etsy.csv").write_text(table([listing, listing | {"PRICE": 2}]), encoding="utf-8")
    first, second = (feed := open_feed(tmp_path / "etsy.csv"))
    assert isinstance(first, Item)
    assert (first.fields["price"], feed.count) == (1, 2)
    assert isinstance(second, Rejected)
    assert second.repeated


def test_a_row_without_a_key_above_all_products_is_rejected(tmp_path: Path) -> None:
    rows = [{"Handle": handle, "Variant Price": 1, "Image Src": f"{CDN}/1.jpg"} for handle in ("", "mug", "")]
    (tmp_path / "shopify.csv").write_text(table(rows), encoding="utf-8")
    first, second = open_feed(tmp_path / "shopify.csv")
    assert isinstance(first, Rejected)
    assert first.reason == "The row has no key."
    assert second.key == "mug"


def test_variations_whose_parent_was_not_exported_are_one_product_all_the_same(tmp_path: Path) -> None:
    rows = [
        {"ID": number, "Type": "variation", "SKU": f"V{number}", "Name": "Mug", "Regular price": number}
        | {"Images": f"{CDN}/{number}.jpg", "Parent": "id:4"}
        for number in (5, 6)
    ]
    _, items = opened(tmp_path / "woocommerce.csv", table(rows))
    assert list(items) == ["4"]
    assert (items["4"].fields["sku"], items["4"].fields["price_max"]) == (["V5", "V6"], 6)


# --- the option ------------------------------------------------------------------------------------------------------


def test_variants_of_a_feed_that_is_no_known_export_are_refused(tmp_path: Path) -> None:
    (tmp_path / "plain.csv").write_text("key,image,price\na,a.jpg,1\n", encoding="utf-8")
    with pytest.raises(FeedError, match="not an export") as error:
        open_feed(tmp_path / "plain.csv", variants="items")
    assert error.value.remedy == "Leave out --variants."
    with pytest.raises(UsageError, match="items"):
        open_feed(tmp_path / "plain.csv", variants="each")


def test_an_unknown_option_is_a_type_error(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="colour"):
        open_feed(tmp_path / "plain.csv", colour="red")  # type: ignore[call-arg]

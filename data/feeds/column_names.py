"""The usual names of the columns for keys, pictures and titles, in the languages and spellings of shop systems."""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["IMAGE_NAMES", "KEY_NAMES", "MORE_IMAGE_NAMES", "TITLE_NAMES", "is_image_of_several", "normal_name"]

KEY_NAMES = (
    *("key", "id", "sku", "product id", "item id", "variant sku", "seller sku", "item sku", "asin", "article"),
    *("article number", "article no", "article id", "item number", "item no", "product code", "product number", "code"),
    *("artikelnummer", "artikel nr", "art nr", "artnr", "artikel", "bestellnummer", "produktnummer", "produkt id"),
    *("référence", "reference", "réf", "ref", "referencia", "código", "codigo", "codice", "sku code", "style number"),
    *(
        "artikelnr",
        "varenummer",
        "artikel id",
        "indeks",
        "kod",
        "артикул",
        "код",
        "品番",
        "商品番号",
        "商品コード",
        "货号",
    ),
    *("编号", "商品编号", "貨號", "編號", "handle", "slug", "gtin", "ean", "upc", "barcode", "mpn"),
)
"""Names of the column of keys, most likely first, as `normal_name` returns them."""

IMAGE_NAMES = (
    *("image", "images", "image path", "image paths", "image url", "image urls", "image link", "image links"),
    *("image src", "main image", "main image url", "main image link", "base image", "product image", "product images"),
    *("product image url", "featured image", "photo", "photos", "photo url", "picture", "pictures", "picture url"),
    *("picture urls", "pic", "pics", "img", "img url", "img src", "hosted image urls", "bild", "bilder", "bild url"),
    *("hauptbild", "foto", "fotos", "bildpfad", "bilddatei", "bild link", "imagen", "imágenes", "imagenes", "imagem"),
    *("imagens", "immagine", "immagini", "afbeelding", "afbeeldingen", "image 1", "image1", "photo 1", "picture 1"),
    *("zdjęcie", "zdjęcia", "obrázek", "obrázky", "billede", "billeder", "kuva", "bilde", "kép", "картинка", "фото"),
    *("изображение", "изображения", "画像", "商品画像", "图片", "商品图片", "主图", "圖片", "이미지", "thumbnail"),
    *("file", "filename", "file name", "path", "file path"),
)
"""Names of the column of pictures, likewise."""

MORE_IMAGE_NAMES = frozenset(
    {
        *("additional image link", "additional image links", "additional image", "additional images", "more images"),
        *("additional image url", "additional image urls", "other image url", "other images", "gallery", "images url"),
        *("gallery images", "media gallery", "variant image", "extra images", "weitere bilder", "zusatzbilder"),
        *("alternate image", "alternate images", "swatch image", "swatch image url", "small image"),
    }
)
"""Names of columns of further pictures, beside the column of pictures."""

TITLE_NAMES = (
    *("title", "name", "product name", "product title", "item name", "item title", "display name", "titel"),
    *("bezeichnung", "produktname", "artikelname", "artikelbezeichnung", "nombre", "título", "titulo", "nom", "titre"),
    *("nome", "titolo", "naam", "productnaam", "nazwa", "název", "nazev", "navn", "namn", "nimi", "név", "название"),
    *("наименование", "商品名", "製品名", "名称", "商品名称", "标题", "名稱", "상품명"),
)
"""Names of the column of titles, likewise."""

_PREFIX = re.compile(r"^(?:g|c|ns\d?):")
_BETWEEN = re.compile(r"[\W_]+")
_NUMBERED = re.compile(
    r"(?:(?:other|additional|product|alternate|extra) )?(?:image|photo|picture|img|pic|bild|foto|imagen)"
    r"(?: (?:url|link|src|file|path))? ?\d+(?: (?:url|link|src|file|path))?"
)


@lru_cache(maxsize=10_000)
def normal_name(column: str) -> str:
    """Return the name of a column in lower case, with one blank for whatever is between its words.

    >>> [normal_name(name) for name in ("Image_Link", "g:image-link", "Body (HTML)", "imageUrl")]
    ['image link', 'image link', 'body html', 'image url']
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", _PREFIX.sub("", column.strip()))
    return _BETWEEN.sub(" ", words).strip().lower()


def is_image_of_several(column: str) -> bool:
    """Return whether a column holds further pictures, by its name: `additional_image_link`, `Image 2`, `photo_url3`."""
    name = normal_name(column)
    return name in MORE_IMAGE_NAMES or _NUMBERED.fullmatch(name) is not None

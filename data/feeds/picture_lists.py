"""Several pictures in one cell of text, and addresses of pictures as people and systems write them."""

from __future__ import annotations

import contextlib
import html
import re

import orjson

__all__ = ["mended_address", "parts_of_cell"]

_ADDRESS = r"(?:https?:)?//"
_BETWEEN_ADDRESSES = re.compile(rf"[\s,;|]+(?={_ADDRESS})", re.IGNORECASE)
_MAY_SEPARATE = re.compile(r"[\s,;|\[]")
_STARTS_AS_ADDRESS = re.compile(_ADDRESS, re.IGNORECASE)
_FILE = re.compile(
    r".+\.(?:jpe?g|jfif|png|webp|gif|tiff?|bmp|avif|hei[cf]|svgz?|jxl|psd|mp4|mov|webm|cr2|nef|arw|dng)", re.IGNORECASE
)
_HOST = re.compile(r"www\.[\w.-]+/\S+|[\w-]+(?:\.[\w-]+)*\.(?:com|net|org|io|co|shop|store|de|uk|fr|eu|cdn)/\S+", re.I)


def parts_of_cell(text: str) -> list[object]:
    """Return the pictures that the text of a cell names.

    A list is in JSON, or separated by `|`. Commas, semicolons, blanks and new lines separate only addresses, or names
    that all end like pictures, because names have commas and blanks in them too.

        >>> parts_of_cell("https://a.example/1.jpg, https://a.example/2.jpg?w=3,4")
        ['https://a.example/1.jpg', 'https://a.example/2.jpg?w=3,4']
        >>> parts_of_cell("front.jpg;back.jpg"), parts_of_cell("red, large.jpg")
        (['front.jpg', 'back.jpg'], ['red, large.jpg'])
    """
    stripped = text.strip()
    if not _MAY_SEPARATE.search(stripped):
        return [stripped]
    if stripped.startswith("["):
        with contextlib.suppress(orjson.JSONDecodeError):  # a file name may begin with a bracket
            found = orjson.loads(stripped)
            if isinstance(found, list):
                return found
    if _STARTS_AS_ADDRESS.match(stripped):
        return [part.strip() for part in _BETWEEN_ADDRESSES.split(stripped)]
    if "|" in text:
        return [part.strip() for part in text.split("|")]
    for between in (r"[\r\n]+", r"\s*[;,]\s*", r"\s+"):
        parts = [part.strip() for part in re.split(between, stripped) if part.strip()]
        if len(parts) > 1 and all(map(_FILE.fullmatch, parts)):
            return list(parts)
    return [stripped]


def mended_address(text: str) -> str:
    """Return the address of a picture as a browser would open it; a text that is no address is returned as it is.

    Quotes around it, `&amp;` and blanks in it are mended, and `//cdn.example/1.jpg` and `www.example.com/1.jpg` get the
    scheme `https`.

        >>> mended_address("//cdn.example/a b.jpg?x=1&amp;y=2"), mended_address("red mug.jpg")
        ('https://cdn.example/a%20b.jpg?x=1&y=2', 'red mug.jpg')
    """
    bare = text.strip().strip("\"'")
    if bare.startswith("//") or _HOST.fullmatch(bare):
        bare = f"https://{bare.lstrip('/')}"
    if not bare.lower().startswith(("http://", "https://")):
        return text
    return html.unescape(bare).replace(" ", "%20") if "&" in bare else bare.replace(" ", "%20")

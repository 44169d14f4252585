"""File and folder names as words for people, and the names that cameras and telephones give to pictures."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

__all__ = ["folder_levels", "is_camera_number", "title_of"]

_DATE = r"(?:19|20)\d\d[-_.]?[01]\d[-_.]?[0-3]\d"
_CLOCK = r"[0-2]\d[-_.:hH]?[0-5]\d[-_.:mM]?[0-5]\d(?:\d{1,3})?s?"
_MOMENT = rf"{_DATE}(?:[-_ T]+(?:at |um |à )?{_CLOCK})"
_PREFIX = (
    r"_?(?:IMG|DSCN|DSCF|DSCI|DSC|MG|SAM|SANY|CIMG|PICT|HPIM|IMGP|IMGA|KIF|STA|STB|STC|EOS|PANO|MVIMG|VID|MVI|MOV|MAH|"
    r"GOPR|GP|GX|GH|GS|DJI|PXL|IM|IMAG|WP|DCP|DC|PA|CRW|BILD|FOTO|IMAGE|PHOTO|BURST|FB_IMG|received|"
    r"Snapchat|signal|image|Screenshot|Screen Shot|Bildschirmfoto|photo|video)"
)
_TAIL = (
    r"(?:[ _~.-]*(?:\(\d{1,3}\)|\d{1,3}|copy|kopie|copie|edited|bearbeitet|hdr|pano|cover|portrait|night|burst\d*|mp|"
    r"mv|top|effects|original|wa\d+))*"
)
_CAMERA_NUMBER = re.compile(
    rf"(?:{_PREFIX}[ _-]?(?:E?\d{{4,}}|{_MOMENT}|{_DATE}[-_]\d{{6,9}}|{_DATE}[-_]WA\d+|{_DATE}[-_]\d+)"
    r"|(?:IMG|DSC[NFI]?|IMAGE|PHOTO|VIDEO)[ _-]?\d+"
    rf"|{_MOMENT}"
    r"|1\d\d_\d{4}|[PRL]\d{7}"
    rf"|(?:WhatsApp|Signal)[ _-](?:Image|Video)[ _-]{_MOMENT}"
    r"|[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}"
    rf"){_TAIL}",
    re.IGNORECASE,
)


def is_camera_number(stem: str) -> bool:
    """Return whether a file name without its suffix is one that a camera, a telephone or a messenger makes up.

    Example:
        >>> [is_camera_number(name) for name in ("IMG_1005", "20190704_153012", "red-shoe_2")]
        [True, True, False]
    """
    return _CAMERA_NUMBER.fullmatch(stem) is not None


def title_of(stem: str) -> str | None:
    """Return a file name without its suffix in words, or None if a camera made it up."""
    if is_camera_number(stem):
        return None
    return re.sub(r"[\s_\-+.]+", " ", stem).strip() or stem


def folder_levels(folders: list[str]) -> list[str] | None:
    """Return the path of a folder as a list of its levels, such as "2019" and "2019/Italy"; None for no folder.

    Underscores and plus signs become blanks, and letters with accents get their usual composed form.

    Example:
        >>> folder_levels(["2019", "Summer_in_Italy"])
        ['2019', '2019/Summer in Italy']
    """
    names = [_readable(name) for name in folders]
    return ["/".join(names[:count]) for count in range(1, len(names) + 1)] or None


@lru_cache(4_096)
def _readable(name: str) -> str:
    return " ".join(re.sub(r"[_+]", " ", unicodedata.normalize("NFC", name)).split()) or name

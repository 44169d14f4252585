"""The version of the decoder, and which pictures an earlier version decoded to other pixels.

Version 1 ignored colour profiles and the order of a TIFF's pages, and scaled deep grey by its type. Pictures that only
one of the versions accepts are not among those that a catalog has vectors of.
"""

from __future__ import annotations

import io

from PIL import Image

from lookalike.data.pictures.embedded_profiles import profile_of
from lookalike.data.pictures.heif import is_heif, register_heif
from lookalike.data.pictures.image_decoder import PILLOW_FORMATS
from lookalike.data.pictures.jpeg_xl import is_jpeg_xl
from lookalike.data.pictures.raw import is_raw
from lookalike.data.pictures.rgb_pixels import changes_colours
from lookalike.data.pictures.svg import is_drawing
from lookalike.data.pictures.tiff_pages import chosen_page

__all__ = ["DECODING", "decodes_differently"]

DECODING = 2
"""The version of the decoder. It grows when pictures that were accepted before are decoded to other pixels."""


def decodes_differently(content: bytes) -> bool:
    """Return whether version 1 decoded a picture to other pixels; its pixels are not decoded to find out.

    A picture that cannot be opened is one of them: the decoder has the reason.
    """
    try:
        if is_drawing(content) or is_raw(content):
            return False
        page = chosen_page(content)
        if is_jpeg_xl(content) or page.number or page.white_is_zero:
            return True
        heif = is_heif(content)
        if heif:
            register_heif()
        with Image.open(io.BytesIO(content), formats=("HEIF",) if heif else PILLOW_FORMATS) as image:
            deep = image.mode.startswith("I") or image.mode == "F"
            if deep and (image.format == "TIFF" or "transparency" in image.info):
                return True
            return changes_colours(image, profile_of(image, content))
    except Exception:  # a codec given hostile bytes may raise anything
        return True

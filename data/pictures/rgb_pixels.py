"""Conversion of loaded pictures of every kind of pixels to 8-bit RGB in sRGB, on white where they are transparent.

Pixels are converted in this order: 16-bit, 32-bit and floating-point grey is scaled to 8 bits, a colour profile is
applied to those 8 bits, and transparency is composited on white. Pillow itself reads 16 bits of a colour channel as
their upper 8.
"""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from lookalike.data.pictures.bounds import STRIP_PIXELS
from lookalike.data.pictures.colour_profiles import Conversion, conversion_of
from lookalike.data.pictures.deep_grey import is_deep, to_eight_bits
from lookalike.data.pictures.placeholders import SINGLE_COLOUR, TRANSPARENT, is_single_coloured

__all__ = ["changes_colours", "to_rgb"]

_PROFILE = "icc_profile"
_GREY = ("1", "L", "LA", "La")
_Step = Callable[[Image.Image], Image.Image]


def to_rgb(
    image: Image.Image, profile: bytes = b"", *, min_side: int | None = None, white_is_zero: bool = False
) -> tuple[Image.Image, tuple[str, ...]]:
    """Return an upright picture as RGB, and notes about it in words.

    `profile` is its colour profile, if it has one. With `white_is_zero`, grey of more than 8 bits counts down from
    white. With `min_side`, a picture whose colours have to be converted is averaged down by a whole factor first, as
    far as neither side becomes shorter. The image that is passed may be changed.
    """
    deep = is_deep(image)
    conversion = _conversion(image, profile, deep)
    notes: tuple[str, ...] = (conversion.note,) if conversion.note else ()
    if conversion and not deep:
        image = _reduced(_plain(image), min_side)
    steps: list[_Step] = []
    if deep:
        steps.append(to_eight_bits(image, white_is_zero=white_is_zero))
    if conversion:
        steps.append(conversion.apply)
    white = _OnWhite()
    if image.has_transparency_data:
        steps.append(white.lay)
    if not steps:
        rgb = image if image.mode == "RGB" else image.convert("RGB")
    elif steps == [conversion.apply]:
        rgb = conversion.apply(image)
    else:
        rgb = _by_strips(image, steps)
    rgb.info.pop(_PROFILE, None)
    if is_single_coloured(rgb):
        notes += (TRANSPARENT if white.laid and not white.shown else SINGLE_COLOUR,)
    return rgb, notes


def changes_colours(image: Image.Image, profile: bytes) -> bool:
    """Return whether a profile changes the colours of a picture, which has not been loaded."""
    return bool(_conversion(image, profile, is_deep(image)))


def _conversion(image: Image.Image, profile: bytes, deep: bool) -> Conversion:
    if not profile or image.mode == "LAB":  # numbers of Lab need no profile
        return Conversion()
    mode = "L" if deep or image.mode in _GREY else "CMYK" if image.mode == "CMYK" else "RGB"
    return conversion_of(profile, mode)


def _plain(image: Image.Image) -> Image.Image:
    """Return an image in a mode that conversions take: L, LA, RGB, RGBA or CMYK."""
    grey = image.mode in _GREY
    if image.has_transparency_data:
        mode = "LA" if grey else "RGBA"
    else:
        mode = "L" if grey else "CMYK" if image.mode == "CMYK" else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _reduced(image: Image.Image, min_side: int | None) -> Image.Image:
    factor = min(image.size) // min_side if min_side else 1
    return image.reduce(factor) if factor > 1 else image


def _by_strips(image: Image.Image, steps: list[_Step]) -> Image.Image:
    """Convert an image to RGB a few rows at a time, so that memory holds no third image of the full size."""

    def convert(strip: Image.Image) -> Image.Image:
        for step in steps:
            strip = step(strip)
        return strip

    if image.width * image.height <= STRIP_PIXELS:
        return convert(image).convert("RGB")
    rgb = Image.new("RGB", image.size)
    rows = max(STRIP_PIXELS // image.width, 1)
    for top in range(0, image.height, rows):
        rgb.paste(convert(image.crop((0, top, image.width, min(top + rows, image.height)))), (0, top))
    return rgb


class _OnWhite:
    """Composites images on white, and remembers whether any pixel of them was to be seen."""

    def __init__(self) -> None:
        self.laid = self.shown = False

    def lay(self, image: Image.Image) -> Image.Image:
        layered = image.convert("RGBA")
        alpha = layered.getchannel("A")
        self.laid = True
        self.shown = self.shown or bool(alpha.getbbox())
        white = Image.new("RGB", layered.size, "white")
        white.paste(layered, mask=alpha)
        return white

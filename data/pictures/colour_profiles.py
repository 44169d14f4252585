"""Conversion of pictures with an embedded colour profile (ICC) to sRGB, by LittleCMS.

A profile says which colours the numbers of a picture stand for; without it a photograph in Display P3 looks dull, one
in linear light dark, and one for print garish. Profiles are untrusted: their size is bounded, only profiles of devices
for the picture's own kind of pixels are used, and any that LittleCMS does not accept is ignored with a note.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

__all__ = ["MAX_PROFILE_BYTES", "Conversion", "conversion_of"]

MAX_PROFILE_BYTES = 4 * 1024 * 1024
"""Maximum size of a profile in bytes; a larger one is ignored. Profiles for print have 0.2 to 3 MB."""

MAX_CONVERSIONS = 32
"""Number of conversions that are kept. One for print takes about 1 MB and 0.2 s to build, others a few kB and 10 ms."""

_HEADER_BYTES = 128
_SIGNATURE = b"acsp"
_CLASSES = (b"mntr", b"scnr", b"prtr", b"spac")
_CONNECTIONS = (b"XYZ ", b"Lab ")
_SPACES = {b"GRAY": "grey", b"RGB ": "RGB", b"CMYK": "CMYK"}
_SPACE_OF_MODE = {"L": b"GRAY", "LA": b"GRAY", "RGB": b"RGB ", "RGBA": b"RGB ", "CMYK": b"CMYK"}
_SAMPLES_PER_AXIS = 9
_MAX_SAME, _MEAN_SAME = 2, 0.5
"""Largest and mean difference, of 255, up to which a profile counts as sRGB."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """A conversion of pixels to sRGB, or the reason in `note` for leaving them as they are.

    RGB and CMYK pixels go through `transform`, grey pixels through `tables`, which are 256 values for each of red,
    green and blue. A conversion without any of them changes nothing: the profile is sRGB, or was ignored.
    """

    transform: ImageCms.ImageCmsTransform | None = None
    tables: Sequence[Sequence[int]] = ()
    note: str = ""

    def __bool__(self) -> bool:
        return self.transform is not None or bool(self.tables)

    def apply(self, image: Image.Image) -> Image.Image:
        """Return the image in sRGB, as RGB, or RGBA if it has alpha; RGB and RGBA images are changed in place."""
        if self.tables:
            return self._toned(image)
        if self.transform is None:
            return image
        if image.mode == "CMYK":
            return ImageCms.applyTransform(image, self.transform) or image
        if image.mode in ("L", "LA"):  # grey pixels with a profile for RGB
            image = image.convert("RGBA" if image.mode == "LA" else "RGB")
        alpha = image.getchannel("A") if image.mode == "RGBA" else None
        colours = image.convert("RGB") if alpha is not None else image
        ImageCms.applyTransform(colours, self.transform, inPlace=True)
        if alpha is not None:
            colours.putalpha(alpha)
        return colours

    def _toned(self, image: Image.Image) -> Image.Image:
        grey = image.getchannel("L") if image.mode == "LA" else image
        bands = [grey.point(list(table)) for table in self.tables]
        if image.mode == "LA":
            return Image.merge("RGBA", [*bands, image.getchannel("A")])
        return Image.merge("RGB", bands)


class _Kept:
    """The conversions used last, by the digest of the profile and the mode of the pixels."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[bytes, str], Conversion] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[bytes, str]) -> Conversion | None:
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def put(self, key: tuple[bytes, str], conversion: Conversion) -> None:
        with self._lock:
            self._kept[key] = conversion
            while len(self._kept) > MAX_CONVERSIONS:
                self._kept.popitem(last=False)


_kept = _Kept()


def conversion_of(profile: bytes, mode: str) -> Conversion:
    """Return the conversion from a profile to sRGB for pixels of a mode: L, LA, RGB, RGBA or CMYK.

    Colours outside sRGB are clipped. The rendering intent is perceptual, as in browsers.
    """
    if len(profile) > MAX_PROFILE_BYTES:
        return _ignored(f"is too large ({len(profile) / 1e6:.1f} MB)")
    key = (hashlib.sha256(profile).digest(), mode)
    found = _kept.get(key)
    if found is None:
        found = _build(profile, mode)
        _kept.put(key, found)
    return found


def _build(profile: bytes, mode: str) -> Conversion:
    kind, space, connection = profile[12:16], profile[16:20], profile[20:24]
    if len(profile) <= _HEADER_BYTES or profile[36:40] != _SIGNATURE:
        return _ignored("is damaged")
    if kind not in _CLASSES or connection not in _CONNECTIONS or space not in _SPACES:
        return _ignored("is not one for pictures")
    wanted = _SPACE_OF_MODE[mode]
    if space != wanted and not (wanted == b"GRAY" and space == b"RGB "):
        return _ignored(f"is for {_SPACES[space]} pixels, and the picture has {_SPACES[wanted]} pixels")
    grey = space == b"GRAY"
    mode_in = "L" if grey else "CMYK" if space == b"CMYK" else "RGB"
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode_in, "RGB")
        if space == b"CMYK":
            return Conversion(transform)
        before = _grey_samples() if grey else _colour_samples()
        converted = ImageCms.applyTransform(Image.fromarray(before), transform)
    except ImportError:
        return _ignored("cannot be applied by this installation of Pillow, which lacks LittleCMS")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return _ignored("is damaged")
    after = np.asarray(converted, dtype=np.int16)
    difference = np.abs(after - (before[..., np.newaxis] if grey else before))
    if difference.max() <= _MAX_SAME and difference.mean() <= _MEAN_SAME:
        return Conversion()
    return Conversion(tables=after.reshape(256, 3).T.tolist()) if grey else Conversion(transform)


def _grey_samples() -> NDArray[np.uint8]:
    """Return all greys, uint8 of shape [1, 256]."""
    return np.arange(256, dtype=np.uint8)[np.newaxis]


def _colour_samples() -> NDArray[np.uint8]:
    """Return a grid of colours and all greys, uint8 of shape [1, n, 3]."""
    axis = np.linspace(0, 255, _SAMPLES_PER_AXIS).round().astype(np.uint8)
    grid = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    return np.concatenate([grid, np.repeat(_grey_samples().T, 3, axis=1)])[np.newaxis]


def _ignored(why: str) -> Conversion:
    return Conversion(note=f"The picture's colour profile {why}; it was ignored.")

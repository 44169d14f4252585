"""Colours of AVIF and HEIF pictures that are named by code numbers (ITU-T H.273) in place of a profile.

The codes name primaries and a transfer curve. They become a colour profile here, so that the rest of the decoder knows
only profiles. Of the two curves for high dynamic range, PQ and HLG, the reference white of 203 cd/m² becomes nearly
white, and what is brighter is compressed into what is left. Gain maps are not applied: the picture itself is for
ordinary screens.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["adobe_rgb", "coded_profile", "profile_of_codes"]

_Floats = NDArray[np.float64]
_Point = tuple[float, float]

_D65: _Point = (0.3127, 0.3290)
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_PRIMARIES: dict[int, tuple[tuple[_Point, _Point, _Point], _Point]] = {
    1: (((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)), _D65),
    4: (((0.670, 0.330), (0.210, 0.710), (0.140, 0.080)), (0.310, 0.316)),
    5: (((0.640, 0.330), (0.290, 0.600), (0.150, 0.060)), _D65),
    6: (((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)), _D65),
    7: (((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)), _D65),
    9: (((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)), _D65),
    11: (((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), (0.314, 0.351)),
    12: (((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), _D65),
}
_UNSPECIFIED = 2
_SRGB_CURVES = (1, _UNSPECIFIED, 6, 13, 14, 15)  # the camera curves of video are shown like sRGB
_WHITE_NITS, _HLG_PEAK_NITS, _HLG_GAMMA = 203.0, 1000.0, 1.2
_KNEE = 0.75
_STEPS = 4096
_BOX = b"colrnclx"
_MAX_HEAD_BYTES = 64 * 1024
_FAMILY = b"ftyp"


def coded_profile(content: bytes) -> bytes:
    """Return a profile for the codes in an AVIF or HEIF file; nothing if it has none, or if they are those of sRGB."""
    place = content.find(_BOX, 0, _MAX_HEAD_BYTES) if content[4:8] == _FAMILY else -1
    if place < 0 or place + len(_BOX) + 4 > len(content):
        return b""
    return profile_of_codes(*struct.unpack_from(">HH", content, place + len(_BOX)))


@lru_cache(maxsize=32)
def profile_of_codes(primaries: int, transfer: int) -> bytes:
    """Return a profile for code numbers of primaries and transfer curve; nothing for those of sRGB or unknown ones."""
    curve = _curve(transfer)
    if curve is None or primaries not in (*_PRIMARIES, _UNSPECIFIED):
        return b""
    points, white = _PRIMARIES[1 if primaries == _UNSPECIFIED else primaries]
    if points == _PRIMARIES[1][0] and transfer in _SRGB_CURVES:
        return b""
    return _screen(points, white, curve)


@lru_cache(maxsize=1)
def adobe_rgb() -> bytes:
    """Return a profile for Adobe RGB (1998)."""
    points = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
    return _screen(points, _D65, lambda values: values ** (563 / 256))


def _screen(points: tuple[_Point, _Point, _Point], white: _Point, curve: Callable[[_Floats], _Floats]) -> bytes:
    """Build the profile of a screen from its primaries, its white and its curve."""
    columns = np.stack([_xyz(point) for point in points], axis=1)
    columns = columns * np.linalg.solve(columns, _xyz(white))
    cones = (_BRADFORD @ _D50) / (_BRADFORD @ _xyz(white))
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD @ columns
    values = np.rint(curve(np.linspace(0, 1, _STEPS)).clip(0, 1) * 65535).astype(">u2")
    table = b"".join((b"curv", bytes(4), struct.pack(">I", _STEPS), values.tobytes()))
    tags = {b"wtpt": _xyz_tag(_D50)}
    for name, column in zip((b"r", b"g", b"b"), adapted.T, strict=True):
        tags |= {name + b"XYZ": _xyz_tag(column), name + b"TRC": table}
    return _profile(tags)


def _curve(transfer: int) -> Callable[[_Floats], _Floats] | None:
    """Return the function from code values, 0 to 1, to light, of which 1 is white."""
    if transfer in _SRGB_CURVES:
        return _srgb
    powers = {4: 2.2, 5: 2.8, 8: 1.0, 17: 2.6}
    if transfer in powers:
        return lambda values: values ** powers[transfer]
    return {16: _pq, 18: _hlg}.get(transfer)


def _srgb(values: _Floats) -> _Floats:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _pq(values: _Floats) -> _Floats:
    """SMPTE ST 2084: absolute light of up to 10,000 cd/m²."""
    root = values ** (32 / 2523)
    nits = 10_000 * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (16384 / 2610)
    return _compressed(nits / _WHITE_NITS)


def _hlg(values: _Floats) -> _Floats:
    """ARIB STD-B67, shown on a screen of 1,000 cd/m²."""
    scene = np.where(values <= 0.5, values**2 / 3, (np.exp((values - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    return _compressed(_HLG_PEAK_NITS * scene**_HLG_GAMMA / _WHITE_NITS)


def _compressed(light: _Floats) -> _Floats:
    """Return light as it is up to a knee, and below 1 beyond it."""
    room = 1 - _KNEE
    return np.where(light <= _KNEE, light, 1 - room * np.exp(-np.maximum(light - _KNEE, 0) / room))


def _xyz(point: _Point) -> _Floats:
    return np.array([point[0] / point[1], 1.0, (1 - point[0] - point[1]) / point[1]])


def _xyz_tag(values: _Floats) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(float(value) * 65536) for value in values))


def _profile(tags: dict[bytes, bytes]) -> bytes:
    """Build an ICC profile of version 2 for a screen."""
    start = 128 + 4 + 12 * len(tags)
    body, table = b"", b""
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content
    head = struct.pack(">I4xI4s4s4s12x4s28x", start + len(body), 0x02400000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    head += struct.pack(">3i", *(round(float(value) * 65536) for value in _D50))
    return b"".join((head.ljust(128, b"\0"), struct.pack(">I", len(tags)), table, body))

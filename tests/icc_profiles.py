"""Colour profiles made from primaries and curves, and the numbers that stand for given colours in each."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Curve = Callable[[Floats], Floats]

D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D65, _D50_XY = (0.3127, 0.3290), (0.3457, 0.3585)


def xyz(x: float, y: float) -> Floats:
    return np.array([x / y, 1.0, (1 - x - y) / y])


def matrix(primaries: tuple[tuple[float, float], ...], white: tuple[float, float]) -> Floats:
    """Return the matrix from linear device numbers to XYZ, adapted to D50."""
    columns = np.stack([xyz(*one) for one in primaries], axis=1)
    columns = columns * np.linalg.solve(columns, xyz(*white))
    cones = (_BRADFORD @ D50) / (_BRADFORD @ xyz(*white))
    return np.asarray(np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD @ columns)


def srgb_to_linear(value: Floats) -> Floats:
    return np.where(value <= 0.04045, value / 12.92, ((np.maximum(value, 0.0) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(value: Floats) -> Floats:
    return np.where(value <= 0.0031308, value * 12.92, 1.055 * np.maximum(value, 0.0) ** (1 / 2.4) - 0.055)


def gamma(power: float) -> tuple[Curve, Curve]:
    return lambda value: value**power, lambda value: np.maximum(value, 0.0) ** (1 / power)


SRGB_CURVE = (srgb_to_linear, linear_to_srgb)
_SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
_ADOBE = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
_PROPHOTO = ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001))
_REC2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
_APPLE = ((0.625, 0.340), (0.280, 0.595), (0.155, 0.070))


@dataclass(frozen=True)
class Device:
    """A device: the bytes of its profile, the mode of its pixels, and how linear sRGB becomes its numbers, 0 to 1."""

    profile: bytes
    mode: str
    numbers: Callable[[Floats], Floats]

    def pixels(self, chart: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the numbers, uint8, that stand for the sRGB colours of a chart."""
        values = self.numbers(srgb_to_linear(chart / 255))
        return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def devices() -> dict[str, Device]:
    """Return all devices by name."""
    swapped = tuple(_SRGB[place] for place in (1, 2, 0))
    return {
        "sRGB": _matrix_device(_SRGB, _D65, SRGB_CURVE),
        "Display P3": _matrix_device(_P3, _D65, SRGB_CURVE),
        "Adobe RGB": _matrix_device(_ADOBE, _D65, gamma(563 / 256)),
        "ProPhoto": _matrix_device(_PROPHOTO, _D50_XY, gamma(1.8)),
        "Rec. 2020": _matrix_device(_REC2020, _D65, gamma(2.4)),
        "Apple RGB": _matrix_device(_APPLE, _D65, gamma(1.8)),
        "linear": _matrix_device(_SRGB, _D65, gamma(1.0)),
        "exchanged": _matrix_device(swapped, _D65, SRGB_CURVE),
        "lookup table": _table_device(),
        "grey": _grey_device(),
        "print": _print_device(),
    }


def profile(space: bytes, connection: bytes, tags: dict[bytes, bytes], kind: bytes = b"mntr") -> bytes:
    """Build an ICC profile of version 2.4."""
    named = {b"desc": _text_tag("made for a test"), b"wtpt": _xyz_tag(D50), **tags}
    table, body = b"", b""
    start = 128 + 4 + 12 * len(named)
    for name, content in named.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size = start + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"test", 0x02400000, kind, space, connection)
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(D50)
    return head + bytes(128 - len(head)) + struct.pack(">I", len(named)) + table + body


def _matrix_device(
    primaries: tuple[tuple[float, float], ...], white: tuple[float, float], curve: tuple[Curve, Curve]
) -> Device:
    forward, backward = curve
    to_xyz, srgb = matrix(primaries, white), matrix(_SRGB, _D65)
    turned = np.linalg.solve(to_xyz, srgb)
    tags = {name + b"XYZ": _xyz_tag(to_xyz[:, place]) for place, name in enumerate((b"r", b"g", b"b"))}
    tags |= {name + b"TRC": _curve_tag(forward) for name in (b"r", b"g", b"b")}
    return Device(profile(b"RGB ", b"XYZ ", tags), "RGB", lambda linear: backward(linear @ turned.T))


def _grey_device() -> Device:
    forward, backward = gamma(1.4)
    luminance = np.array([0.2126, 0.7152, 0.0722])
    made = profile(b"GRAY", b"XYZ ", {b"kTRC": _curve_tag(forward)})
    return Device(made, "L", lambda linear: backward(linear @ luminance))


def _table_device() -> Device:
    """Return a device whose red, green and blue are those of sRGB squared, by a table of 33 steps."""
    axis = np.linspace(0, 1, 33)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = _lab(srgb_to_linear(np.sqrt(grid)) @ matrix(_SRGB, _D65).T)
    made = profile(b"RGB ", b"Lab ", {b"A2B0": _table_tag(3, 33, lab)})
    return Device(made, "RGB", lambda linear: linear_to_srgb(linear) ** 2)


def _print_device() -> Device:
    """Return a device of four inks that take away red, green, blue and all of them, by a table of 9 steps."""
    axis = np.linspace(0, 1, 9)
    grid = np.stack(np.meshgrid(axis, axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 4)
    seen = (1 - 0.9 * grid[:, :3]) * (1 - 0.9 * grid[:, 3:])
    made = profile(
        b"CMYK", b"Lab ", {b"A2B0": _table_tag(4, 9, _lab(srgb_to_linear(seen) @ matrix(_SRGB, _D65).T))}, b"prtr"
    )

    def inks(linear: Floats) -> Floats:
        coloured = (1 - linear_to_srgb(linear)) / 0.9
        return np.concatenate([coloured, np.zeros_like(coloured[..., :1])], axis=-1)

    return Device(made, "CMYK", inks)


def _lab(values: Floats) -> Floats:
    share = values / D50
    root = np.where(share > 216 / 24389, np.cbrt(share), (24389 / 27 * share + 16) / 116)
    return np.stack([116 * root[:, 1] - 16, 500 * (root[:, 0] - root[:, 1]), 200 * (root[:, 1] - root[:, 2])], axis=1)


def _table_tag(inputs: int, steps: int, lab: Floats) -> bytes:
    """Build a table of 16 bits (`mft2`) from a grid of device numbers to Lab, with straight curves."""
    coded = np.rint((lab * [652.8, 256, 256] + [0, 32768, 32768]).clip(0, 65535)).astype(">u2")
    head = b"mft2" + bytes(4) + bytes([inputs, 3, steps, 0]) + struct.pack(">9i", *(np.eye(3, dtype=int) << 16).ravel())
    straight = struct.pack(">HH", 0, 65535)
    return b"".join((head, struct.pack(">HH", 2, 2), straight * inputs, coded.tobytes(), straight * 3))


def _curve_tag(forward: Curve) -> bytes:
    values = np.rint(forward(np.linspace(0, 1, 1024)) * 65535).astype(">u2")
    return b"".join((b"curv", bytes(4), struct.pack(">I", 1024), values.tobytes()))


def _xyz_tag(values: Floats) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(values)


def _fixed(values: Floats) -> bytes:
    return struct.pack(">3i", *(round(float(value) * 65536) for value in values))


def _text_tag(text: str) -> bytes:
    return b"desc" + bytes(4) + struct.pack(">I", len(text) + 1) + text.encode() + b"\0" + bytes(78)

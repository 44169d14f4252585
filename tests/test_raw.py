from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lookalike.data.errors import NotAPicture
from lookalike.data.pictures import image_decoder
from lookalike.data.pictures.image_decoder import decode
from lookalike.data.pictures.raw import is_raw
from tests.hostile import check_damaged

RANDOM = np.random.default_rng(19)
SRGB_OF_XYZ = (3.2404542, -1.5371385, -0.4985314, -0.969266, 1.8760108, 0.041556, 0.0556434, -0.2040259, 1.0572252)
SHORT, LONG, RATIONAL, BYTE, ASCII, SIGNED_RATIONAL = 3, 4, 5, 1, 2, 10
FORMS = {SHORT: "H", LONG: "I", RATIONAL: "II", BYTE: "B", ASCII: "B", SIGNED_RATIONAL: "ii"}


def tiff(tags: Sequence[tuple[int, int, Sequence[int]]], strip: bytes, signature: bytes = b"II*\0") -> bytes:
    """Write a TIFF of one directory and one strip; the tags of the strip's place are added."""
    entries = sorted([*tags, (273, LONG, [0]), (279, LONG, [len(strip)])])
    rest_at = 8 + 2 + 12 * len(entries) + 4
    directory, rest = b"", b""
    for tag, kind, values in entries:
        form = FORMS[kind]
        packed = struct.pack("<" + form * (len(values) // len(form)), *values)
        if len(packed) > 4:
            place = rest_at + len(rest)
            rest += packed + b"\0" * (len(packed) % 2)
            packed = struct.pack("<I", place)
        directory += struct.pack("<HHI", tag, kind, len(values) // len(form)) + packed.ljust(4, b"\0")
    strip_at = rest_at + len(rest)
    directory = directory.replace(
        struct.pack("<HHII", 273, LONG, 1, 0), struct.pack("<HHII", 273, LONG, 1, strip_at), 1
    )
    return signature + struct.pack("<IH", 8, len(entries)) + directory + b"\0\0\0\0" + rest + strip


def dng(scene: NDArray[np.float64], *, orientation: int = 1) -> bytes:
    """Write a DNG of linear light [height, width, 3], 0..1, seen through a Bayer filter by a sensor of sRGB colours."""
    height, width, _ = scene.shape
    cells = np.empty((height, width))
    for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        cells[row::2, column::2] = scene[row::2, column::2, channel]
    strip = np.rint(cells * 65535).astype("<u2").tobytes()
    matrix = [part for value in SRGB_OF_XYZ for part in (round(value * 10_000), 10_000)]
    tags: list[tuple[int, int, Sequence[int]]] = [
        (254, LONG, [0]),
        (256, LONG, [width]),
        (257, LONG, [height]),
        (258, SHORT, [16]),
        (259, SHORT, [1]),
        (262, SHORT, [32803]),
        (271, ASCII, b"Test\0"),
        (272, ASCII, b"Bayer\0"),
        (274, SHORT, [orientation]),
        (277, SHORT, [1]),
        (278, LONG, [height]),
        (33421, SHORT, [2, 2]),
        (33422, BYTE, [0, 1, 1, 2]),
        (50706, BYTE, [1, 4, 0, 0]),
        (50707, BYTE, [1, 1, 0, 0]),
        (50708, ASCII, b"Test Bayer\0"),
        (50714, LONG, [0]),
        (50717, LONG, [65535]),
        (50721, SIGNED_RATIONAL, matrix),
        (50728, RATIONAL, [1, 1, 1, 1, 1, 1]),
        (50778, SHORT, [21]),
    ]
    return tiff(tags, strip)


def scene_of(height: int, width: int) -> NDArray[np.float64]:
    """Return a scene of colour fields of 64 pixels, a tenth of them white so that the exposure is not adjusted."""
    fields = RANDOM.uniform(0.02, 0.9, (height // 64, width // 64, 3))
    fields[0] = 1.0
    return np.asarray(np.kron(fields, np.ones((64, 64, 1))), dtype=np.float64)


def as_shown(scene: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 8-bit values of linear light under the curve of BT.709, which LibRaw uses (power 2.222, slope 4.5)."""
    return 255 * np.where(scene < 0.018, 4.5 * scene, 1.099 * scene**0.45 - 0.099)


def inner(pixels: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Return the middle of each colour field, away from the edges that demosaicing smooths."""
    return pixels[side // 2 :: side, side // 2 :: side]


def test_a_raw_file_is_developed_to_the_colours_of_the_scene() -> None:
    scene = scene_of(512, 768)
    content = dng(scene)
    assert is_raw(content)
    picture = decode(content)
    assert (picture.width, picture.height) == picture.rgb.size == (768, 512)
    difference = np.abs(inner(np.asarray(picture.rgb).astype(float), 64) - inner(as_shown(scene), 64))
    assert np.median(difference) < 3
    assert difference.max() < 12


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_a_raw_file_is_turned_upright(orientation: int, turns: int) -> None:
    scene = scene_of(256, 384)
    picture = decode(dng(scene, orientation=orientation))
    expected = np.rot90(as_shown(scene), turns)
    assert (picture.height, picture.width) == picture.rgb.size[::-1] == expected.shape[:2]
    assert np.median(np.abs(inner(np.asarray(picture.rgb).astype(float), 64) - inner(expected, 64))) < 3


def test_a_large_raw_file_is_developed_at_half_of_its_size_and_keeps_it_in_the_answer() -> None:
    scene = scene_of(1024, 1536)
    content = dng(scene, orientation=6)
    half, whole = decode(content, min_side=224), decode(content)
    assert (half.width, half.height) == (whole.width, whole.height) == (1024, 1536)
    assert half.rgb.size == (512, 768)
    small = np.asarray(whole.rgb.resize((512, 768), Image.Resampling.BOX)).astype(float)
    assert np.abs(np.asarray(half.rgb) - small).mean() < 3


def test_too_many_sensor_cells_are_refused_undeveloped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_decoder, "MAX_PIXELS", 256 * 384 - 1)
    with pytest.raises(NotAPicture, match="too large"):
        decode(dng(scene_of(256, 384)))


def test_a_forged_size_is_refused() -> None:
    content = bytearray(dng(scene_of(256, 384)))
    for tag, value in ((256, 60_000), (257, 60_000)):
        place = content.index(struct.pack("<HHI", tag, LONG, 1)) + 8
        content[place : place + 4] = struct.pack("<I", value)
    with pytest.raises(NotAPicture, match="too large|damaged"):
        decode(bytes(content))


def test_damage_to_a_raw_file_raises_only_that_error() -> None:
    original = dng(scene_of(128, 192))
    check_damaged([original], 100, seed=23, places=range(8, 500))
    with pytest.raises(NotAPicture, match="RAW"):
        decode(original[:700])


def test_a_tiff_is_no_raw_file_unless_its_picture_says_it_is_the_preview_of_another(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(buffer, "TIFF")
    assert not is_raw(buffer.getvalue())
    assert decode(buffer.getvalue()).rgb.getpixel((3, 3)) == (255, 0, 0)
    grey: list[tuple[int, int, Sequence[int]]] = [
        (256, LONG, [16]),
        (257, LONG, [16]),
        (258, SHORT, [8]),
        (259, SHORT, [1]),
        (262, SHORT, [1]),
        (277, SHORT, [1]),
        (330, LONG, [8]),
    ]
    assert not is_raw(tiff([*grey, (254, LONG, [0])], bytes(256)))
    assert is_raw(tiff([*grey, (254, LONG, [1])], bytes(256)))


@pytest.mark.parametrize(
    "start",
    [
        b"FUJIFILMCCD-RAW 0201",
        b"IIRO\x08\0\0\0",
        b"IIU\0\x18\0\0\0",
        b"\0\0\0\x18ftypcrx \0\0\0\1",
        b"II*\0\x10\0\0\0CR\2\0",
    ],
    ids=["RAF", "ORF", "RW2", "CR3", "CR2"],
)
def test_the_files_of_cameras_are_known_by_their_first_bytes(start: bytes) -> None:
    content = start.ljust(4096, b"\0")
    assert is_raw(content)
    with pytest.raises(NotAPicture, match="RAW file is damaged"):
        decode(content)

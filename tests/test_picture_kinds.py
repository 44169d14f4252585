from __future__ import annotations

import io
import struct
import time
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lookalike.data.errors import NotAPicture
from lookalike.data.pictures.image_decoder import decode
from tests.hostile import check_damaged

RANDOM = np.random.default_rng(19)
PIXELS = RANDOM.integers(0, 256, (40, 60, 3), dtype=np.uint8)
RAMP = np.tile(np.linspace(0, 1, 256), (4, 1))
GREY = np.rint(RAMP * 255).astype(np.uint8)
SHORT, LONG = 3, 4


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def array(content: bytes) -> NDArray[np.uint8]:
    return np.asarray(decode(content).rgb)


def grey_of(content: bytes) -> NDArray[np.uint8]:
    pixels = array(content)
    assert np.array_equal(pixels[..., 0], pixels[..., 1]) and np.array_equal(pixels[..., 0], pixels[..., 2])
    return pixels[..., 0]


def tiff(*pages: tuple[NDArray[np.generic], dict[int, int]], order: Literal["<", ">"] = "<") -> bytes:
    """Build an uncompressed TIFF of grey or RGB pages, whose entries may be overridden."""
    content = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    for number, (pixels, changed) in enumerate(pages):
        data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
        rgb = pixels.ndim == 3
        real = 3 if pixels.dtype.kind == "f" else 2 if pixels.dtype.kind == "i" else 1
        entries = {256: pixels.shape[1], 257: pixels.shape[0], 258: pixels.dtype.itemsize * 8, 259: 1}
        entries |= {262: 2 if rgb else 1, 277: 3 if rgb else 1, 278: pixels.shape[0], 279: len(data), 339: real}
        entries |= changed
        size = 2 + 12 * (len(entries) + 1) + 4
        entries[273] = len(content) + size
        content += struct.pack(f"{order}H", len(entries))
        for tag in sorted(entries):
            content += struct.pack(f"{order}HHII", tag, LONG, 1, entries[tag])
        following = len(content) + 4 + len(data) if number + 1 < len(pages) else 0
        content += struct.pack(f"{order}I", following) + data
    return content


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_tiff_is_as_wide_as_it_is_shown(orientation: int, compression: str | None) -> None:
    seen = [
        PIXELS,
        PIXELS[:, ::-1],
        PIXELS[::-1, ::-1],
        PIXELS[::-1],
        PIXELS.transpose(1, 0, 2),
        np.rot90(PIXELS, -1),
        PIXELS.transpose(1, 0, 2)[::-1, ::-1],
        np.rot90(PIXELS, 1),
    ][orientation - 1]
    content = saved(Image.fromarray(PIXELS), "TIFF", tiffinfo={274: orientation}, compression=compression)
    picture = decode(content)
    assert (picture.width, picture.height) == picture.rgb.size == seen.shape[1::-1]
    assert np.array_equal(np.asarray(picture.rgb), seen)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_deep_grey_with_white_as_zero_is_inverted(order: Literal["<", ">"], kind: type[np.generic]) -> None:
    top = 65535 if kind is np.uint16 else 1
    deep = ((1 - RAMP) * top).round(0 if kind is np.uint16 else 6).astype(kind)
    assert np.abs(grey_of(tiff((deep, {262: 0}), order=order)).astype(int) - GREY).max() <= 1
    assert np.abs(grey_of(tiff((deep, {262: 1}), order=order)).astype(int) - GREY[:, ::-1]).max() <= 1


def test_sixteen_bit_grey_png_with_a_transparent_value_lies_on_white() -> None:
    deep = np.rint(RAMP * 65535).astype(np.uint16)
    content = saved(Image.fromarray(deep), "PNG", transparency=int(deep[0, 10]))
    expected = GREY.copy()
    expected[:, 10] = 255
    assert np.array_equal(grey_of(content), expected)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_white_of_an_integer_tiff_is_the_largest_number_of_the_bits_that_are_used(bits: int) -> None:
    deep = np.rint(RAMP * (2**bits - 1)).astype(np.uint16)
    assert np.array_equal(grey_of(tiff((deep, {}))), np.rint(deep / (2**bits - 1) * 255).astype(np.uint8))


def test_a_declared_largest_value_is_white() -> None:
    deep = np.rint(RAMP * 2000).astype(np.uint16)
    assert np.array_equal(grey_of(tiff((deep, {281: 2000}))), np.rint(deep / 2000 * 255).astype(np.uint8))


def test_a_tiff_of_twelve_packed_bits_has_its_full_range() -> None:
    values = np.rint(RAMP * 1023).astype(np.uint16)
    pairs = values.reshape(-1, 2).astype(int)
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], axis=1)
    content = tiff((packed.astype(np.uint8).reshape(4, 384), {256: 256, 258: 12}))
    assert np.abs(grey_of(content).astype(int) - np.rint(values / 4095 * 255)).max() <= 1


def test_a_sixteen_bit_png_keeps_its_full_range_however_dark() -> None:
    dark = np.rint(RAMP * 4095).astype(np.uint16)
    assert np.array_equal(grey_of(saved(Image.fromarray(dark), "PNG")), np.rint(dark / 257).astype(np.uint8))


@pytest.mark.parametrize("hot", [1e6, np.inf, -1e6, np.nan])
def test_a_few_hot_pixels_do_not_turn_a_floating_point_tiff_dark(hot: float) -> None:
    real = np.tile(RAMP, (64, 1)).astype(np.float32) * 80 + 20
    real[3, :5] = hot
    found = grey_of(tiff((real, {}))).astype(int)
    assert np.abs(found[10:] - np.tile(GREY, (64, 1))[10:]).max() <= 2
    assert set(found[3, :5].tolist()) == {255 if hot > 0 else 0}


def test_a_floating_point_tiff_of_few_values_keeps_its_range() -> None:
    real = np.zeros((64, 64), dtype=np.float32)
    real[30:34, 30:34] = 7
    found = grey_of(tiff((real, {})))
    assert found[0, 0] == 0 and found[31, 31] == 255


def page(side: int, colour: int) -> NDArray[np.uint8]:
    return np.full((side, side, 3), colour, dtype=np.uint8)


def test_the_largest_page_of_a_tiff_is_the_picture() -> None:
    picture = decode(tiff((page(20, 10), {}), (page(64, 200), {}), (page(64, 90), {}), (page(32, 30), {})))
    assert (picture.width, picture.height) == (64, 64)
    assert np.asarray(picture.rgb)[5, 5].tolist() == [200, 200, 200]
    assert picture.notes == (
        "The file has 4 pages; the largest, page 2, was taken.",
        "The picture is of a single colour; it may be a placeholder.",
    )


def test_smaller_copies_and_masks_are_no_pages() -> None:
    picture = decode(tiff((page(32, 200), {}), (page(16, 10), {254: 1}), (page(64, 0), {254: 4})))
    assert np.asarray(picture.rgb)[5, 5].tolist() == [200, 200, 200]
    assert "pages" not in " ".join(picture.notes)


def test_a_page_too_large_to_be_decoded_leaves_the_next_one() -> None:
    picture = decode(tiff((page(16, 50), {}), (page(16, 90), {256: 100_000, 257: 100_000}), (page(32, 200), {})))
    assert picture.width == 32


def test_pages_in_a_circle_or_without_number_end() -> None:
    content = bytearray(tiff((PIXELS, {})))
    entries = struct.unpack_from("<H", content, 8)[0]
    struct.pack_into("<I", content, 10 + 12 * entries, 8)
    assert decode(bytes(content)).width == 60
    empty = b"".join(struct.pack("<HI", 0, 8 + 6 * (number + 1)) for number in range(1_000_000))
    started = time.process_time()
    with pytest.raises(NotAPicture):
        decode(b"II*\0\x08\0\0\0" + empty)
    assert time.process_time() - started < 0.5


def test_entries_that_name_the_same_bytes_again_and_again_are_refused() -> None:
    listed = b"".join(struct.pack("<HHII", tag, 1, 60_000_000, 8) for tag in range(400, 500))
    with pytest.raises(NotAPicture, match="description"):
        decode(b"II*\0\x08\0\0\0" + struct.pack("<H", 100) + listed + bytes(4))


def jpeg(width: int = 320, height: int = 240, **options: object) -> bytes:
    smooth = Image.fromarray(RANDOM.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    return saved(smooth.resize((width, height), Image.Resampling.BICUBIC), "JPEG", quality=92, **options)


@pytest.mark.parametrize("side", [None, 40])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("lost", [1, 2])
def test_a_jpeg_without_its_last_bytes_is_the_same_picture(lost: int, progressive: bool, side: int | None) -> None:
    content = jpeg(progressive=progressive)
    picture = decode(content[:-lost], min_side=side)
    assert np.array_equal(np.asarray(picture.rgb), np.asarray(decode(content, min_side=side).rgb))
    assert len(picture.notes) == 1 and picture.notes[0].startswith("The file is cut short; ")
    assert decode(content, min_side=side).notes == ()


def test_a_jpeg_with_seven_eighths_of_its_blocks_is_accepted_and_one_with_fewer_is_refused() -> None:
    content = jpeg(640, 480)
    whole = np.asarray(decode(content).rgb).astype(int)
    accepted = refused = 0
    for percent in range(40, 100, 2):
        try:
            picture = decode(content[: len(content) * percent // 100])
        except NotAPicture as error:
            assert "damaged or truncated: " in str(error) and "is needed" in str(error)
            refused += 1
            assert percent < 92
            continue
        accepted += 1
        assert percent > 83
        assert np.array_equal(np.asarray(picture.rgb)[: 480 * 3 // 4], whole[: 480 * 3 // 4])
        assert "% of the picture is there" in picture.notes[0]
    assert accepted > 2 and refused > 20


def test_a_progressive_jpeg_is_accepted_once_each_colour_had_a_first_pass() -> None:
    content = jpeg(640, 480, progressive=True)
    whole = np.asarray(decode(content).rgb).astype(int)
    for percent in (50, 75, 95):
        picture = decode(content[: len(content) * percent // 100])
        assert np.abs(np.asarray(picture.rgb) - whole).mean() < 6
        assert picture.notes == ("The file is cut short; the picture may lack detail.",)
    first = content.index(b"\xff\xda")
    with pytest.raises(NotAPicture, match="truncated"):
        decode(content[: first + 400])


def test_a_jpeg_that_was_given_its_length_before_it_was_filled_is_cut_short() -> None:
    content = jpeg(640, 480)
    half = content[: len(content) // 2]
    with pytest.raises(NotAPicture, match="is needed"):
        decode(half + bytes(len(content) - len(half)))
    assert decode(content[:-2] + bytes(500)).notes == ("The file is cut short; all of the picture is there.",)


def test_every_cut_of_a_jpeg_is_a_picture_or_that_error() -> None:
    for content in (jpeg(64, 48), jpeg(64, 48, progressive=True), jpeg(64, 48, optimize=True)):
        for end in range(1, len(content), 7):
            try:
                assert decode(content[:end]).rgb.size == (64, 48)
            except NotAPicture:
                continue


def test_damage_to_pages_and_deep_pixels_raises_only_that_error() -> None:
    deep = np.rint(RAMP * 4095).astype(np.uint16)
    originals = [tiff((PIXELS, {}), (page(64, 5), {})), tiff((deep, {262: 0})), tiff((RAMP.astype(np.float32), {}))]
    check_damaged(originals, 600, seed=23, places=range(0, 300))


def psd(channels: NDArray[np.uint8], *, mode: int = 3, bits: int = 8, layers: int = 0, packed: bool = False) -> bytes:
    """Build a Photoshop file from the channels of its composite."""
    count, height, width = channels.shape
    head = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", count, height, width, bits, mode)
    layer = struct.pack(">IIhh", 8, 4, layers, 0) if layers else bytes(4)
    if not packed:
        return head + bytes(8) + layer + b"\0\0" + channels.tobytes()
    rows = [bytes([width - 1]) + row.tobytes() for row in channels.reshape(-1, width)]
    lengths = b"".join(struct.pack(">H", len(row)) for row in rows)
    return head + bytes(8) + layer + b"\0\1" + lengths + b"".join(rows)


@pytest.mark.parametrize("packed", [False, True])
def test_the_composite_of_a_photoshop_file_is_the_picture(packed: bool) -> None:
    channels = np.ascontiguousarray(PIXELS.transpose(2, 0, 1))
    assert np.array_equal(array(psd(channels, packed=packed)), PIXELS)
    inks = 255 - channels
    black = np.full((1, 40, 60), 255, dtype=np.uint8)
    assert (
        np.abs(array(psd(255 - np.concatenate([inks, 255 - black]), mode=4, packed=packed)).astype(int) - PIXELS).max()
        <= 1
    )


def test_a_fourth_channel_of_a_photoshop_file_is_transparency_only_where_it_says_so() -> None:
    channels = np.concatenate([PIXELS.transpose(2, 0, 1), np.zeros((1, 40, 60), dtype=np.uint8)])
    assert np.array_equal(array(psd(channels, layers=1)), PIXELS)
    assert (array(psd(channels, layers=-1)) == 255).all()


def test_a_photoshop_file_of_sixteen_bits_is_refused_with_the_reason() -> None:
    with pytest.raises(NotAPicture, match="Photoshop file with other than 8 bits"):
        decode(psd(np.zeros((3, 40, 120), dtype=np.uint8), bits=16))


def test_damage_to_a_photoshop_file_raises_only_that_error() -> None:
    channels = np.ascontiguousarray(PIXELS.transpose(2, 0, 1))
    check_damaged([psd(channels), psd(channels, packed=True)], 300, seed=29, places=range(0, 400))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_picture_of_a_single_colour_is_noted(kind: str) -> None:
    picture = decode(saved(Image.new("RGB", (50, 30), (200, 30, 90)), kind))
    assert picture.notes == ("The picture is of a single colour; it may be a placeholder.",)


def test_a_fully_transparent_picture_is_noted_and_others_are_not() -> None:
    layered = Image.fromarray(PIXELS)
    layered.putalpha(0)
    assert decode(saved(layered, "PNG")).notes == ("The picture is fully transparent; it may be a placeholder.",)
    layered.putpixel((7, 9), (0, 0, 0, 90))
    assert decode(saved(layered, "PNG")).notes == ()
    white = Image.new("RGBA", (50, 30), "white")
    assert "single colour" in decode(saved(white, "PNG")).notes[0]
    assert decode(saved(Image.fromarray(PIXELS), "PNG")).notes == ()

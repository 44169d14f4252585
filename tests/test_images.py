from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lookalike.data.errors import NotAPicture
from lookalike.data.pictures.image_decoder import MAX_PIXELS, check_thumbnail, decode, read_bytes, thumbnail
from tests.hostile import check_damaged

RANDOM = np.random.default_rng(7)
PIXELS = RANDOM.integers(0, 256, (40, 60, 3), dtype=np.uint8)
BLOCKS = np.kron(RANDOM.integers(0, 256, (4, 6, 3), dtype=np.uint8), np.ones((10, 10, 1), dtype=np.uint8))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def array(content: bytes) -> NDArray[np.uint8]:
    return np.asarray(decode(content).rgb)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_a_lossless_picture_comes_out_as_it_went_in(kind: str) -> None:
    assert np.array_equal(array(saved(Image.fromarray(PIXELS), kind)), PIXELS)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "JPEG2000"])
def test_a_lossy_picture_comes_out_almost_as_it_went_in(kind: str) -> None:
    difference = array(saved(Image.fromarray(BLOCKS), kind, quality=95)).astype(int) - BLOCKS
    assert np.abs(difference).mean() < 8


@pytest.mark.parametrize(
    ("orientation", "as_seen"),
    [
        (1, PIXELS),
        (2, PIXELS[:, ::-1]),
        (3, PIXELS[::-1, ::-1]),
        (4, PIXELS[::-1]),
        (5, PIXELS.transpose(1, 0, 2)),
        (6, np.rot90(PIXELS, -1)),
        (7, PIXELS.transpose(1, 0, 2)[::-1, ::-1]),
        (8, np.rot90(PIXELS, 1)),
    ],
)
def test_the_exif_turn_is_applied(orientation: int, as_seen: NDArray[np.uint8]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = decode(saved(Image.fromarray(PIXELS), "PNG", exif=exif))
    assert np.array_equal(np.asarray(picture.rgb), as_seen)
    assert (picture.height, picture.width) == as_seen.shape[:2]


def test_white_stands_under_what_is_transparent() -> None:
    alpha = RANDOM.integers(0, 256, (40, 60, 1), dtype=np.uint8)
    layered = Image.fromarray(np.concatenate([PIXELS, alpha], axis=2))
    share = alpha / 255
    expected = PIXELS * share + 255 * (1 - share)
    assert np.abs(array(saved(layered, "PNG")) - expected).max() <= 1


def test_a_palette_with_a_transparent_colour_is_laid_on_white() -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 200, 10, 10])
    image.putpixel((0, 0), 0)
    pixels = array(saved(image, "PNG", transparency=0))
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[1, 1].tolist() == [200, 10, 10]


def test_sixteen_bit_grey_keeps_its_full_range() -> None:
    grey = np.linspace(0, 65535, 2400).reshape(40, 60).astype(np.uint16)
    pixels = array(saved(Image.fromarray(grey), "PNG"))
    assert np.array_equal(pixels[..., 0], np.rint(grey / 65535 * 255).astype(np.uint8))
    assert np.array_equal(pixels[..., 0], pixels[..., 2])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I", "F"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    picture = decode(saved(Image.fromarray(PIXELS).convert(mode), "TIFF"))
    assert picture.rgb.mode == "RGB"
    assert picture.rgb.size == (60, 40)


def test_a_cmyk_jpeg_keeps_its_colours() -> None:
    red = Image.new("RGB", (32, 32), (220, 20, 30)).convert("CMYK")
    assert np.abs(array(saved(red, "JPEG", quality=95)).mean(axis=(0, 1)) - (220, 20, 30)).max() < 12


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    content = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert array(content)[4, 4].tolist() == [255, 0, 0]


def test_a_large_jpeg_is_decoded_at_reduced_scale_and_keeps_its_size_in_the_answer() -> None:
    smooth = Image.fromarray(BLOCKS).resize((3000, 2000), Image.Resampling.BICUBIC)
    content = saved(smooth, "JPEG", quality=95)
    reduced = decode(content, min_side=224)
    assert (reduced.width, reduced.height) == (3000, 2000)
    assert min(reduced.rgb.size) >= 336
    assert reduced.rgb.width < 3000
    small = [np.asarray(one.resize((224, 224), Image.Resampling.BICUBIC), dtype=int) for one in (reduced.rgb, smooth)]
    assert np.abs(small[0] - small[1]).mean() < 1.5


@pytest.mark.slow
def test_a_very_large_picture_is_averaged_down() -> None:
    pixels = np.kron(RANDOM.integers(0, 256, (5, 4, 4), dtype=np.uint8), np.ones((1000, 1000, 1), dtype=np.uint8))
    content = saved(Image.fromarray(pixels), "PNG", compress_level=1)
    reduced = decode(content, min_side=224)
    assert (reduced.width, reduced.height) == (4000, 5000)
    assert reduced.rgb.size == (364, 455)
    middle = ((np.arange(5) + 0.5) * 1000 / 11).astype(int)
    share = pixels[500::1000, 500::1000, 3:] / 255
    expected = pixels[500::1000, 500::1000, :3] * share + 255 * (1 - share)
    assert np.abs(np.asarray(reduced.rgb)[middle][:, middle[:4]] - expected).max() <= 2


def png_header(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (MAX_PIXELS // 1000 + 1, 1000), (2**31 - 1, 1)])
def test_a_picture_bomb_is_refused_by_its_header(width: int, height: int) -> None:
    with pytest.raises(NotAPicture, match="too large"):
        decode(png_header(width, height))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"just some text", "not a picture"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"%PDF-1.7", "PDF"),
        (b"\x89PNG\r\n\x1a\n", "damaged or truncated"),
        (saved(Image.fromarray(PIXELS), "PNG")[:700], "damaged or truncated"),
        (saved(Image.fromarray(PIXELS), "JPEG")[:700], "damaged or truncated"),
    ],
)
def test_what_is_no_picture_is_one_error_with_its_reason(content: bytes, reason: str) -> None:
    with pytest.raises(NotAPicture, match=reason):
        decode(content)


def test_random_damage_raises_only_that_error() -> None:
    kinds = ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP")
    check_damaged([saved(Image.fromarray(PIXELS), kind) for kind in kinds], 300, seed=11)


def test_an_eps_is_not_handed_to_an_interpreter() -> None:
    with pytest.raises(NotAPicture):
        decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")


def test_reading_says_why_it_cannot(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "large.png").write_bytes(b"x" * 100)
    (tmp_path / "dangling.png").symlink_to(tmp_path / "gone.png")
    for name, reason in [
        ("absent.png", "no such file"),
        ("empty.png", "empty"),
        ("large.png", "at most"),
        (".", "not a regular file"),
        ("dangling.png", "a link to a file that does not exist"),
        ("nul\0.png", "no such file|cannot be read"),
    ]:
        with pytest.raises(NotAPicture, match=reason):
            read_bytes(tmp_path / name, max_bytes=99)


def test_a_thumbnail_is_a_small_webp_of_the_same_shape() -> None:
    with Image.open(io.BytesIO(thumbnail(Image.fromarray(BLOCKS).resize((1200, 800))))) as small:
        assert small.format == "WEBP"
        assert small.size == (384, 256)
    with Image.open(io.BytesIO(thumbnail(Image.fromarray(PIXELS)))) as same:
        assert same.size == (60, 40)


def test_a_thumbnail_that_is_not_one_of_ours_is_refused() -> None:
    check_thumbnail(thumbnail(Image.fromarray(PIXELS)))
    drawing = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'
    assert decode(drawing).width == 1024
    for content in (drawing, saved(Image.fromarray(PIXELS), "PNG"), thumbnail(Image.fromarray(PIXELS))[:40], b""):
        with pytest.raises(NotAPicture):
            check_thumbnail(content)

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pillow_jxl  # noqa: F401  # registers JPEG XL, which is written here
import pytest
from PIL import Image

from lookalike.data.errors import NotAPicture
from lookalike.data.pictures import pdf
from lookalike.data.pictures.bounds import MAX_PIXELS
from lookalike.data.pictures.image_decoder import decode
from lookalike.data.pictures.jpeg_xl import _size, is_jpeg_xl
from tests.icc_profiles import devices

RANDOM = np.random.default_rng(31)
BLOCKS = np.kron(RANDOM.integers(0, 256, (4, 6, 3), dtype=np.uint8), np.ones((20, 20, 1), dtype=np.uint8))


def jxl(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JXL", **options)
    return buffer.getvalue()


def document(*streams: str, box: str = "0 0 300 200", extra: str = "") -> bytes:
    """Build a PDF with a page for each stream of drawing commands."""
    count = len(streams)
    kids = " ".join(f"{3 + 2 * number} 0 R" for number in range(count))
    objects = [f"<</Type/Catalog/Pages 2 0 R{extra}>>", f"<</Type/Pages/Kids[{kids}]/Count {count}>>"]
    for number, stream in enumerate(streams):
        objects.append(f"<</Type/Page/Parent 2 0 R/MediaBox[{box}]/Contents {4 + 2 * number} 0 R>>")
        objects.append(f"<</Length {len(stream)}>>stream\n{stream}\nendstream")
    content, places = b"%PDF-1.4\n", []
    for number, one in enumerate(objects):
        places.append(len(content))
        content += f"{number + 1} 0 obj{one}endobj\n".encode()
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    trailer = f"trailer<</Size {len(objects) + 1}/Root 1 0 R>>\nstartxref\n{len(content)}\n%%EOF"
    return content + f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{trailer}".encode()


@pytest.mark.slow
def test_a_jpeg_xl_picture_comes_out_as_it_went_in() -> None:
    content = jxl(Image.fromarray(BLOCKS), lossless=True)
    assert is_jpeg_xl(content)
    picture = decode(content)
    assert np.array_equal(np.asarray(picture.rgb), BLOCKS)
    assert (picture.width, picture.height) == (120, 80)


@pytest.mark.slow
def test_a_jpeg_xl_picture_has_its_profile_and_lies_on_white(tmp_path: Path) -> None:
    device = devices()["exchanged"]
    path = tmp_path / "profile.jpg"
    Image.fromarray(device.pixels(BLOCKS)).save(path, quality=96, subsampling=0, icc_profile=device.profile)
    with Image.open(path) as image:
        content = jxl(image, lossless_jpeg=True)
    assert np.abs(np.asarray(decode(content).rgb).astype(int) - BLOCKS).mean() < 2
    alpha = np.full((80, 120, 1), 51, dtype=np.uint8)
    content = jxl(Image.fromarray(np.concatenate([BLOCKS, alpha], axis=2)), lossless=True)
    assert np.abs(np.asarray(decode(content).rgb) - (BLOCKS * 0.2 + 204)).max() <= 1


@pytest.mark.slow
def test_a_jpeg_that_was_packed_as_jpeg_xl_is_turned_once(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    Image.fromarray(BLOCKS).save(path, quality=95, exif=exif)
    expected = np.asarray(decode(path.read_bytes()).rgb).astype(int)
    with Image.open(path) as image:
        found = decode(jxl(image, lossless_jpeg=True))
    assert (found.width, found.height) == (80, 120)
    assert np.abs(np.asarray(found.rgb) - expected).mean() < 2


@pytest.mark.parametrize("size", [(120, 80), (256, 256), (64, 32), (7, 4001), (640, 480)])
def test_the_size_of_a_jpeg_xl_picture_is_read_from_its_header(size: tuple[int, int]) -> None:
    for image in (Image.new("RGB", size, "red"), Image.new("L", size)):
        assert _size(jxl(image)) == size


def test_a_jpeg_xl_bomb_is_refused_by_its_header() -> None:
    sides = 0b11 << 1 | (2**30 - 1) << 3  # a height of 2^30, and a square
    with pytest.raises(NotAPicture, match="too large"):
        decode(b"\xff\x0a" + (sides | 1 << 33).to_bytes(16, "little"))
    side = int(MAX_PIXELS**0.5) - 100
    nearly = 0b10 << 1 | (side - 1) << 3 | 1 << 21
    with pytest.raises(NotAPicture, match="too large|damaged"):
        decode(b"\xff\x0a" + nearly.to_bytes(16, "little"))


@pytest.mark.slow
def test_a_damaged_jpeg_xl_picture_is_refused() -> None:
    content = jxl(Image.fromarray(BLOCKS), lossless=True)
    for damaged in (content[:40], content[:2], content[: len(content) // 2], content[:30] + bytes(400)):
        with pytest.raises(NotAPicture):
            decode(damaged)


@pytest.mark.slow
def test_the_first_page_of_a_pdf_is_the_picture() -> None:
    picture = decode(document("1 0 0 rg 0 0 150 200 re f", "0 0 1 rg 0 0 300 200 re f"))
    assert abs(picture.width - pdf.PAGE_SIDE) <= 2 and abs(picture.height - pdf.PAGE_SIDE * 2 / 3) <= 2
    assert picture.rgb.getpixel((100, 300)) == (255, 0, 0)
    assert picture.rgb.getpixel((900, 300)) == (255, 255, 255)
    assert picture.notes == ("The PDF has 2 pages; the first was taken.",)
    assert decode(document("0 g 0 0 99 99 re f")).notes == ()


@pytest.mark.slow
def test_a_pdf_of_a_strange_shape_or_a_damaged_one_is_a_picture_or_that_error() -> None:
    assert decode(document("0 1 0 rg 0 0 9 9 re f", box="0 0 14000 14000")).width <= pdf.PAGE_SIDE
    for content in (
        b"%PDF-1.7",
        document("0 g 0 0 9 9 re f")[:150],
        document(),
        document("", box="0 0 14400 0.01"),
        document("0 g 0 0 9 9 re f", extra="/OpenAction<</S/JavaScript/JS(app.alert(1))>>")[:-30] + b"x" * 400,
    ):
        try:
            assert decode(content).rgb.mode == "RGB"
        except NotAPicture as error:
            assert "PDF" in str(error)


@pytest.mark.slow
def test_a_pdf_that_takes_too_long_is_ended() -> None:
    endless = "0 0 300 200 re W n " * 60_000 + "q 0.5 g 0 0 300 200 re f Q " * 120_000
    try:
        pdf.first_page(document(endless), cpu_seconds=1)
    except NotAPicture as error:
        assert "processor time" in str(error) or "memory" in str(error)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "content", "words"),
    [("pillow_jxl", b"\xff\x0a" + bytes(30), "lookalike[jxl]"), ("pypdfium2", b"%PDF-1.7\n", "lookalike[pdf]")],
)
def test_without_the_extra_the_reason_has_the_line_that_mends_it(package: str, content: bytes, words: str) -> None:
    code = (
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda name: None if name == {package!r} else find(name)\n"
        "from lookalike.data.pictures.image_decoder import decode\n"
        f"decode({content!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False
    )
    assert "NotAPicture" in done.stderr and words in done.stderr

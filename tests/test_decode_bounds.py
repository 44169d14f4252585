from __future__ import annotations

import contextlib
import io
import json
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import lookalike.data.pictures.svg
from lookalike.data.errors import NotAPicture
from lookalike.data.pictures.bounds import MAX_PIXELS, MAX_SIDE, check_size
from lookalike.data.pictures.decode_memory import MAX_DECODE_BYTES, DecodeMemory, decode_memory
from lookalike.data.pictures.image_decoder import decode, thumbnail
from lookalike.models.torch_base.frames import fit_to_square
from lookalike.models.torch_base.transforms import Transform
from tests.conftest import ROOT

RANDOM = np.random.default_rng(3)
SIZES = {"square": (1500, 1400), "tall": (32, MAX_SIDE), "line": (1, 65_500), "wide": (MAX_SIDE, 3)}
MEASURED = """
import json, os, sys
from pathlib import Path
from PIL import Image
import lookalike.data.pictures.image_decoder
from lookalike.data.pictures.decode_memory import decode_memory
from lookalike.data.pictures.heif import register_heif

Image.init()
register_heif()
taken, take = [], decode_memory.reserve
decode_memory.reserve = lambda count: (taken.append(count), take(count))[1]

def bytes_of(name):
    return int(next(line for line in open('/proc/self/status') if line.startswith(name)).split()[1]) * 1024

for path in sorted(Path(sys.argv[1]).iterdir()):
    content = path.read_bytes()
    sys.stdout.flush()
    if child := os.fork():  # what one decoder leaves behind is of no use to the next
        assert os.waitpid(child, 0)[1] == 0
        continue
    Path('/proc/self/clear_refs').write_text('5')
    before = bytes_of('VmRSS')
    picture = lookalike.data.pictures.image_decoder.decode(content, min_side=int(sys.argv[2]) or None)
    print(json.dumps([path.name, bytes_of('VmHWM') - before, sum(taken)]), flush=True)
    os._exit(0)
"""
"""Decodes the pictures of a folder, and says of each what it took at its peak and what was set aside, in bytes."""


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *, bits: int = 1, colour: int = 0) -> bytes:
    """Return a PNG of zeros only, which is a small file whatever its dimensions."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    row = 1 + (width * bits * channels + 7) // 8
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(row * min(4096, height - top))) for top in range(0, height, 4096))
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", packed + packer.flush()) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff(entries: dict[int, tuple[int, int]], after: bytes = b"", *, big: bool = False) -> bytes:
    """Return a TIFF of one directory; each entry is its count and its value, 4 bytes each."""
    entry, head = ("<HHQQ", b"II+\0" + struct.pack("<HHQ", 8, 0, 16)) if big else ("<HHII", b"II*\0\x08\0\0\0")
    listed = b"".join(struct.pack(entry, tag, 4, *entries[tag]) for tag in sorted(entries))
    count = struct.pack("<Q" if big else "<H", len(entries))
    return head + count + listed + bytes(8 if big else 4) + after


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def everything(width: int, height: int) -> dict[str, bytes]:
    """Return pictures by name in every format and pixel type that decode differently."""
    blocks = RANDOM.integers(0, 256, (-(-height // 16), -(-width // 16), 4), dtype=np.uint8)
    pixels = np.kron(blocks, np.ones((16, 16, 1), dtype=np.uint8))[:height, :width]
    rgba, rgb = Image.fromarray(pixels), Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
    grey, palette = rgb.convert("L"), rgb.convert("P")
    deep = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    real = Image.fromarray(pixels[..., 0].astype(np.float32))
    turned = Image.Exif()
    turned[0x0112] = 6
    quick: dict[str, Any] = {"compress_level": 1}
    found = {
        "png 1": saved(rgb.convert("1"), "PNG"),
        "png grey": saved(grey, "PNG", **quick),
        "png grey and alpha": saved(rgb.convert("LA"), "PNG", **quick),
        "png rgb turned": saved(rgb, "PNG", exif=turned, **quick),
        "png rgba turned": saved(rgba, "PNG", exif=turned, **quick),
        "png palette": saved(palette, "PNG", transparency=3, **quick),
        "png deep": saved(deep, "PNG", **quick),
        "png deep rgba": png(width, height, bits=16, colour=6),
        "gif": saved(palette, "GIF", transparency=3),
        "gif animation": saved(palette, "GIF", save_all=True, append_images=[palette.rotate(180)]),
        "tiff": saved(rgb, "TIFF"),
        "tiff one strip": saved(rgba, "TIFF", compression="tiff_lzw", tiffinfo={278: height}),
        "tiff cmyk turned": saved(rgb.convert("CMYK"), "TIFF", exif=turned),
        "tiff real": saved(real, "TIFF"),
        "tiff whole": saved(real.convert("I"), "TIFF"),
        "bmp": saved(rgb, "BMP"),
        "bmp palette": saved(palette, "BMP"),
        "ppm": saved(rgb, "PPM"),
    }
    if max(width, height) <= 65_500:
        found |= {
            "jpeg turned": saved(rgb, "JPEG", subsampling=0, exif=turned),
            "jpeg cmyk": saved(rgb.convert("CMYK"), "JPEG", subsampling=0),
            "jpeg progressive": saved(rgb, "JPEG", progressive=True, subsampling=0, exif=turned),
            "jpeg progressive cmyk": saved(rgb.convert("CMYK"), "JPEG", progressive=True),
            "jpeg progressive grey": saved(grey, "JPEG", progressive=True),
        }
    if max(width, height) <= 16_383:
        heif = io.BytesIO()
        pillow_heif.from_pillow(rgba).save(heif, quality=50)
        found |= {
            "webp": saved(rgb, "WEBP", method=0),
            "webp rgba lossless": saved(rgba, "WEBP", lossless=True, quality=0, method=0),
            "webp animation": saved(rgba, "WEBP", method=0, save_all=True, append_images=[rgba.rotate(180)]),
            "avif rgba": saved(rgba, "AVIF", speed=10, subsampling="4:4:4"),
            "jpeg2000": saved(rgb, "JPEG2000"),
            "jpeg2000 rgba": saved(rgba, "JPEG2000"),
            "heif rgba": heif.getvalue(),
        }
    return found


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_no_picture_takes_more_memory_than_is_set_aside_for_it(tmp_path: Path, size: str) -> None:
    made = everything(*SIZES[size])
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
    for side in (0, 224):
        command = [sys.executable, "-c", MEASURED, str(tmp_path), str(side)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found = {name: facts for name, *facts in map(json.loads, done.stdout.splitlines())}
        assert set(found) == set(made)
        assert {name: facts for name, facts in found.items() if facts[0] > facts[1]} == {}, "[peak, set aside]"
        assert max(aside for _, aside in found.values()) < 120_000_000, "small pictures leave room for others"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(png(1, 15_900_000), id="a line of 68 bytes a megapixel"),
        pytest.param(png(MAX_SIDE + 1, 1), id="wide by one"),
        pytest.param(png(2, MAX_SIDE + 1), id="tall by one"),
        pytest.param(tiff({256: (1, 1), 257: (1, 10**8), 273: (1, 8), 279: (1, 1)}), id="tiff"),
        pytest.param(
            b"BM" + struct.pack("<IIIIiiHHIIiiII", 99, 0, 54, 40, 1, 10**7, 1, 24, 0, 0, 0, 0, 0, 0), id="bmp"
        ),
        pytest.param(b"P6 1 40000000 255\n", id="ppm"),
        pytest.param(b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x08\0;", id="gif"),
    ],
)
@pytest.mark.parametrize("side", [None, 224])
def test_a_picture_out_of_bounds_is_refused_before_it_is_decoded(content: bytes, side: int | None) -> None:
    started = time.process_time()
    with pytest.raises(NotAPicture, match="too large"):
        decode(content, min_side=side)
    assert time.process_time() - started < 0.5


def test_a_picture_at_the_bound_of_a_side_is_decoded() -> None:
    for size in ((1, MAX_SIDE), (MAX_SIDE, 1)):
        assert decode(png(*size)).rgb.size == size
    check_size(MAX_SIDE, MAX_PIXELS // MAX_SIDE)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("tag", [273, 279, 324, 325])
def test_a_tiff_in_millions_of_pieces_is_refused_before_it_is_opened(tag: int, big: bool) -> None:
    content = tiff({256: (1, 1), 257: (1, 1), tag: (4_000_000, 200)}, bytes(16_000_000), big=big)
    started = time.process_time()
    with pytest.raises(NotAPicture, match="too many parts"):
        decode(content)
    assert time.process_time() - started < 0.5


@given(st.binary(max_size=60), st.sampled_from([b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"]))
@settings(max_examples=200, deadline=None)
def test_any_directory_is_one_error(content: bytes, start: bytes) -> None:
    with pytest.raises(NotAPicture):
        decode(start + content)


def test_a_tile_larger_than_its_picture_counts() -> None:
    entries = {256: (1, 16), 257: (1, 16), 258: (1, 8), 262: (1, 1), 322: (1, 16_000), 323: (1, 16_000)}
    with pytest.raises(NotAPicture, match="memory"):
        decode(tiff({**entries, 324: (1, 200), 325: (1, 9)}, bytes(100)))


def test_a_jpeg_of_thousands_of_scans_is_refused() -> None:
    content = saved(Image.new("L", (3000, 3000), 5), "JPEG", progressive=True)
    last = content.rfind(b"\xff\xda")
    assert decode(content, min_side=224).width == 3000
    started = time.process_time()
    with pytest.raises(NotAPicture, match="scans"):
        decode(content[:-2] + content[last:-2] * 5000 + content[-2:])
    assert time.process_time() - started < 0.5
    small = saved(Image.new("L", (30, 30), 5), "JPEG", progressive=True)
    last = small.rfind(b"\xff\xda")
    assert decode(small[:-2] + small[last:-2] * 50 + small[-2:]).width == 30


def test_a_picture_that_takes_more_than_all_may_is_refused_in_words() -> None:
    content = bytearray(saved(Image.new("RGB", (64, 64)), "JPEG2000"))
    for header, place in ((b"ihdr", 4), (b"\xff\x51", 6)):
        start = content.find(header) + place
        content[start : start + 8] = struct.pack(">II", 8300, 8300)
    with pytest.raises(NotAPicture, match="save it as JPEG"):
        decode(bytes(content))


def test_the_memory_is_never_shared_out_twice_and_all_get_their_turn() -> None:
    memory = DecodeMemory(100)
    held, most, done = [0], [0], [0]
    lock = threading.Lock()

    def work(seed: int) -> None:
        for count in np.random.default_rng(seed).integers(1, 101, 50):
            with memory.reserve(int(count)):
                with lock:
                    held[0] += int(count)
                    most[0] = max(most[0], held[0])
                time.sleep(0)
                with lock:
                    held[0] -= int(count)
                    done[0] += 1

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (held[0], done[0]) == (0, 300) and 50 < most[0] <= 100


def test_memory_is_given_back_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    free = decode_memory._free
    assert free == MAX_DECODE_BYTES
    taken: list[int] = []
    take = decode_memory.reserve

    def noted(count: int) -> AbstractContextManager[None]:
        taken.append(count)
        return take(count)

    monkeypatch.setattr(decode_memory, "reserve", noted)
    good = saved(Image.new("RGB", (50, 50)), "PNG")
    drawing = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'
    for content in (good, good[:60] + b"\0" * 40, drawing, drawing.replace(b"rect", b"<rect")):
        with contextlib.suppress(NotAPicture):
            decode(content)
        assert decode_memory._free == free
    assert len(taken) == 4 and taken[-1] == lookalike.data.pictures.svg._MEMORY_BYTES


def cropping(resize: int, crop: int) -> tuple[list[Any], list[Any]]:
    """Return the steps of torchvision that give a square, and those that make numbers of it."""
    from torchvision import transforms  # type: ignore[import-untyped]  # takes seconds, and quick tests do without

    square = [transforms.Resize(resize), transforms.CenterCrop(crop)]
    return square, [transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]


def cropped(picture: Image.Image) -> Any:  # noqa: ANN401  # an array
    square, numbers = cropping(256, 224)
    return Transform.from_steps([*square, *numbers], 224).prepare(picture)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, MAX_SIDE), (MAX_SIDE, 1), (3, MAX_SIDE)])
@pytest.mark.parametrize(
    "prepare",
    [
        lambda picture: fit_to_square(picture, side=224, margin=8),
        cropped,
        lambda picture: np.zeros((224, 224, 3)) if thumbnail(picture) else None,
    ],
    ids=["compact", "crop", "thumbnail"],
)
def test_a_line_of_pixels_is_prepared_without_becoming_a_mountain(
    size: tuple[int, int], prepare: Callable[[Image.Image], Any]
) -> None:
    started = time.process_time()
    assert prepare(Image.new("RGB", size, (200, 10, 10))).shape == (224, 224, 3)
    assert time.process_time() - started < 5


@pytest.mark.slow
def test_the_middle_of_a_long_picture_is_what_cropping_kept_before() -> None:
    steps, numbers = cropping(32, 32)
    stripes = np.kron(RANDOM.integers(0, 256, (600, 1, 3), dtype=np.uint8), np.ones((2, 10, 1), dtype=np.uint8))
    picture = Image.fromarray(stripes)
    ours = Transform.from_steps([*steps, *numbers], 32).prepare(picture)
    whole = np.array(steps[1](steps[0](picture)))
    assert np.array_equal(ours, whole)

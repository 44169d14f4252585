from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from numpy.typing import NDArray
from PIL import Image

from lookalike.data.errors import NotAPicture
from lookalike.data.pictures import heif
from lookalike.data.pictures.heif import is_heif
from lookalike.data.pictures.image_decoder import MAX_PIXELS, decode
from tests.hostile import check_damaged

RANDOM = np.random.default_rng(13)
BLOCKS = np.kron(RANDOM.integers(0, 256, (4, 6, 3), dtype=np.uint8), np.ones((20, 20, 1), dtype=np.uint8))


def heic(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, **options)
    return buffer.getvalue()


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def difference(content: bytes, expected: NDArray[np.uint8]) -> float:
    return float(np.abs(np.asarray(decode(content).rgb).astype(int) - expected).mean())


def test_a_heic_photo_comes_out_almost_as_it_went_in() -> None:
    content = heic(Image.fromarray(BLOCKS), quality=95)
    assert is_heif(content)
    assert difference(content, BLOCKS) < 8


@pytest.mark.parametrize(
    ("orientation", "as_seen"),
    [(1, BLOCKS), (3, BLOCKS[::-1, ::-1]), (4, BLOCKS[::-1]), (6, np.rot90(BLOCKS, -1)), (8, np.rot90(BLOCKS, 1))],
)
def test_a_heic_photo_is_turned_once(orientation: int, as_seen: NDArray[np.uint8]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = heic(Image.fromarray(BLOCKS), quality=95, exif=exif.tobytes())
    assert (b"irot" in content or b"imir" in content) == (orientation != 1)
    picture = decode(content)
    assert (picture.height, picture.width) == picture.rgb.size[::-1] == as_seen.shape[:2]
    assert difference(content, as_seen) < 8


def test_white_stands_under_what_is_transparent_in_a_heic() -> None:
    alpha = np.full((80, 120, 1), 64, dtype=np.uint8)
    content = heic(Image.fromarray(np.concatenate([BLOCKS, alpha], axis=2)), quality=95)
    assert difference(content, (BLOCKS * (64 / 255) + 255 * (191 / 255)).astype(np.uint8)) < 8


def test_the_main_picture_of_several_is_taken() -> None:
    album = pillow_heif.HeifFile()  # type: ignore[no-untyped-call]
    for colour in ("red", "blue", "green"):
        album.add_from_pillow(Image.new("RGB", (64, 48), colour))
    buffer = io.BytesIO()
    album.save(buffer, primary_index=1, quality=95)
    assert np.asarray(decode(buffer.getvalue()).rgb)[20, 20, 2] > 240


def test_ten_bit_colours_become_eight() -> None:
    grey = np.tile(np.linspace(0, 65535, 128).astype(np.uint16), (64, 1))
    rgb = np.stack([grey] * 3, axis=2)
    buffer = io.BytesIO()
    pillow_heif.encode("RGB;16", (128, 64), rgb.tobytes(), buffer, quality=95)
    assert difference(buffer.getvalue(), np.rint(rgb / 257).astype(np.uint8)) < 3


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (MAX_PIXELS // 1000 + 1, 1000)])
def test_a_heic_bomb_is_refused(width: int, height: int) -> None:
    content = heic(Image.fromarray(BLOCKS))
    place = content.index(b"ispe") + 8
    assert content[place : place + 8] == (120).to_bytes(4) + (80).to_bytes(4)
    forged = content[:place] + width.to_bytes(4) + height.to_bytes(4) + content[place + 8 :]
    with pytest.raises(NotAPicture, match="too large|damaged"):
        decode(forged)


def test_damage_to_a_heic_raises_only_that_error() -> None:
    original = heic(Image.fromarray(BLOCKS))
    check_damaged([original], 100, seed=17)
    with pytest.raises(NotAPicture):
        decode(original[: len(original) // 2])


def test_avif_is_no_heic_and_needs_no_extra() -> None:
    content = saved(Image.fromarray(BLOCKS), "AVIF", quality=95)
    assert not is_heif(content)
    assert difference(content, BLOCKS) < 8


def test_without_the_extra_the_reason_has_the_line_that_mends_it(tmp_path: Path) -> None:
    (tmp_path / "photo.heic").write_bytes(heic(Image.fromarray(BLOCKS)))
    code = (
        "import sys; from pathlib import Path; sys.modules['pillow_heif'] = None\n"
        "from lookalike.data.pictures.image_decoder import decode\n"
        f"decode(Path({str(tmp_path / 'photo.heic')!r}).read_bytes())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False
    )
    assert "NotAPicture: HEIC pictures need an extra" in done.stderr
    assert "pip install 'lookalike[heic]'" in done.stderr


def test_a_decoder_with_known_holes_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    content = heic(Image.fromarray(BLOCKS))
    monkeypatch.setattr(heif, "OLDEST_LIBHEIF", (99, 0, 0))
    with pytest.raises(NotAPicture, match=f"libheif {pillow_heif.libheif_version()}"):
        decode(content)

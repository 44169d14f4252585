from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lookalike.models.torch_base.frames import fit_to_square
from lookalike.models.torch_base.resize import pixels_of, resized


def thing(size: tuple[int, int], box: tuple[int, int, int, int], ground: str = "white") -> Image.Image:
    image = Image.new("RGB", size, ground)
    image.paste("blue", box)
    return image


def test_a_thing_far_away_looks_as_it_does_close_up() -> None:
    close = fit_to_square(thing((200, 200), (0, 50, 200, 150)), side=224, margin=16)
    far = fit_to_square(thing((800, 600), (500, 100, 700, 200)), side=224, margin=16)
    assert np.abs(close.astype(int) - far.astype(int)).mean() < 4


def test_the_margin_is_left_in_the_colour_of_the_ground() -> None:
    square = fit_to_square(thing((300, 300), (100, 100, 200, 200), "yellow"), side=224, margin=16)
    assert (square[:14] == (255, 255, 0)).all()
    assert (square[20:204, 20:204] == (0, 0, 255)).all()


def test_a_picture_without_a_plain_ground_is_fitted_whole() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 200, 3), dtype=np.uint8)
    square = fit_to_square(Image.fromarray(noise), side=224, margin=16)
    assert (square[:50] == 255).all()
    assert square[56:168].std() > 20


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (3000, 2), (224, 224), (5000, 4000)])
@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_every_shape_and_mode_comes_out_square(size: tuple[int, int], mode: str) -> None:
    square = fit_to_square(Image.new(mode, size), side=224, margin=16)
    assert square.shape == (224, 224, 3)
    assert square.dtype == np.uint8


@pytest.mark.parametrize("size", [(448, 300), (224, 224), (97, 31), (900, 41)])
def test_resizing_is_that_of_pillow_but_for_the_last_step(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (211, 317, 3), dtype=np.uint8)
    smooth = pixels_of(Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC))
    for pixels in (noise, smooth, smooth[100:300, 50:400]):
        theirs = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
        off = np.abs(resized(pixels, *size).astype(int) - theirs)
        assert off.max() <= 2
        assert (off > 0).mean() < 0.02

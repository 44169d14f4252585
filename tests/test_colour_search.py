from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.data.pictures.image_decoder import decode
from lookalike.models import Encoder, load_encoder
from lookalike.models.vectors import Matrix
from tests.icc_profiles import devices

pytestmark = pytest.mark.weights

PICTURES = sorted((Path(__file__).parent.parent / "data" / "sample" / "pictures").glob("*.webp"))[::12][:45]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("compact")


@pytest.fixture(scope="module")
def originals(encoder: Encoder) -> Matrix:
    return encoder.encode_images([decode(path.read_bytes()).rgb for path in PICTURES])


@pytest.mark.parametrize("name", [name for name, device in devices().items() if device.mode == "RGB"])
def test_a_picture_in_another_colour_space_finds_itself_first_with_the_same_score(
    name: str, encoder: Encoder, originals: Matrix
) -> None:
    device = devices()[name]
    converted = []
    for path in PICTURES:
        file = io.BytesIO()
        pixels = device.pixels(np.asarray(decode(path.read_bytes()).rgb))
        Image.fromarray(pixels).save(file, "PNG", icc_profile=device.profile, compress_level=1)
        converted.append(decode(file.getvalue()).rgb)
    scores = encoder.encode_images(converted) @ originals.T
    assert scores.argmax(axis=1).tolist() == list(range(len(PICTURES)))
    assert scores.diagonal().mean() >= 1 - 0.005

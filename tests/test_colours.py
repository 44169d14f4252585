from __future__ import annotations

import numpy as np
import pytest
import torch

from lookalike.models.compact.colours import COLOUR_NAMES, text_colours
from lookalike.models.compact.picture_rows import picture_colours


def plain(red: int, green: int, blue: int) -> torch.Tensor:
    return torch.tensor([red, green, blue], dtype=torch.uint8).expand(1, 32, 32, 3)


@pytest.mark.parametrize(
    ("colour", "name"),
    [
        ((10, 10, 10), "black"),
        ((20, 60, 200), "blue"),
        ((110, 70, 35), "brown"),
        ((30, 160, 40), "green"),
        ((130, 130, 130), "grey"),
        ((250, 150, 10), "orange"),
        ((255, 150, 180), "pink"),
        ((120, 20, 150), "purple"),
        ((220, 20, 30), "red"),
        ((252, 252, 252), "white"),
        ((250, 230, 20), "yellow"),
    ],
)
def test_a_plain_picture_has_its_colour(colour: tuple[int, int, int], name: str) -> None:
    assert COLOUR_NAMES[int(picture_colours(plain(*colour)).argmax())] == name


def test_shares_add_up_to_one() -> None:
    pictures = torch.randint(0, 256, (5, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(picture_colours(pictures).square().sum(dim=1), torch.ones(5))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a Red shoe", {"red"}),
        ("golden and gray", {"yellow", "grey"}),
        ("cake b/w", {"black", "grey", "white"}),
        ("cake, black and white", {"black", "grey", "white"}),
        ("redbone hound", set()),
        ("", set()),
    ],
)
def test_a_text_names_its_colours(text: str, names: set[str]) -> None:
    assert {COLOUR_NAMES[index] for index in np.flatnonzero(text_colours([text])[0])} == names

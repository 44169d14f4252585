from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from lookalike.data.errors import FeedError
from lookalike.data.sample.photographs import write_photographs
from lookalike.models.throughput import step_seconds
from lookalike.ui.cli.bench.index_bench import _STEPS, _made

PICTURES = sorted((Path(__file__).parent.parent / "data" / "sample" / "pictures").iterdir())[:5]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return list(write_photographs(PICTURES, tmp_path_factory.mktemp("made"), 3))


@pytest.mark.slow
def test_made_photographs_have_from_1_to_12_million_pixels_evenly_spread(made: list[Path]) -> None:
    sizes = []
    for path in made:
        with Image.open(path, formats=["JPEG"]) as image:
            sizes.append(image.width * image.height)
    assert sorted(round(pixels / 1e6, 1) for pixels in sizes) == [1.0, 6.5, 12.0]


@pytest.mark.slow
def test_the_same_photographs_are_made_again_and_taken_where_they_were_left(made: list[Path], tmp_path: Path) -> None:
    first = _made(PICTURES, tmp_path, 3)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in made]
    first[0].write_bytes(b"touched")
    assert _made(PICTURES, tmp_path, 3) == first
    assert first[0].read_bytes() == b"touched"


def test_photographs_are_not_made_from_nothing(tmp_path: Path) -> None:
    (tmp_path / "no.png").write_text("no picture")
    with pytest.raises(FeedError, match="None of the files"):
        list(write_photographs([tmp_path / "no.png"], tmp_path, 1))


@pytest.mark.slow
def test_every_step_of_indexing_takes_some_time_and_decoding_is_mostly_libjpeg(made: list[Path]) -> None:
    seconds = step_seconds(made, "compact")
    assert seconds.keys() == _STEPS.keys()
    assert min(seconds.values()) > 0
    assert 0.5 * seconds["decode"] < seconds["libjpeg"] < 1.5 * seconds["decode"]

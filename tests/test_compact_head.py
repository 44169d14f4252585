from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lookalike.data.pictures.image_decoder import decode
from lookalike.data.sample.openclipart import Clipart
from lookalike.models.compact.efficientnet_lite import NetworkOutput
from lookalike.models.compact.encoder import load_compact
from lookalike.models.compact.figures import ClassFigures, CompactFigures
from lookalike.models.compact.picture_rows import (
    SHARPNESS,
    drawing_words,
    picture_classes,
    picture_semantics,
    visual_part,
)
from lookalike.models.compact.text_rows import text_classes, text_semantics, text_words
from lookalike.models.registry.spec import KNOWN_MODELS
from lookalike.models.training.head import (
    MAX_PICTURES_OF_A_CAPTION,
    RIDGE,
    Rows,
    TrainingPictures,
    joint_projections,
    train_head,
    unit,
)
from lookalike.models.training.heldout import Trial, recall
from lookalike.models.training.sources import caption_drawing, caption_emoji, read_stamps
from lookalike.models.vectors import Matrix
from lookalike.models.weights.packaged import read_weights

pytestmark = pytest.mark.slow

SAMPLE = Path(__file__).parent.parent / "data" / "sample"
TEXTS = [f"text {number}" for number in range(240)]


@pytest.fixture(scope="module")
def shipped() -> CompactFigures[Matrix]:
    return CompactFigures.from_bytes(read_weights(KNOWN_MODELS["compact"].files["figures"]))


def embed(texts: Sequence[str]) -> Rows:
    """Made-up vectors: each text its own direction, the same every time."""
    seeds = [int(text.split()[1]) for text in texts]
    return unit(np.stack([np.random.default_rng(seed).standard_normal(384) for seed in seeds]))


def seen(captions: Sequence[dict[str, float]]) -> TrainingPictures:
    generator = torch.Generator().manual_seed(0)
    visual = torch.nn.functional.normalize(torch.randn(len(captions), 256, generator=generator))
    return TrainingPictures(visual, torch.randn(len(captions), 1000, generator=generator), captions)


def bare(figures: CompactFigures[Matrix]) -> ClassFigures[Matrix]:
    return figures.without_head()


@pytest.mark.slow
def test_pictures_trained_on_say_their_captions(shipped: CompactFigures[Matrix]) -> None:
    pictures = seen([{text: 1.0} for text in TEXTS])
    figures = train_head(bare(shipped), pictures, embed)
    said = drawing_words(pictures.visual, figures.mapped(torch.from_numpy)).numpy()
    scores = text_words(embed(TEXTS).astype(np.float32), figures) @ said.T
    assert np.array_equal(scores.argmax(axis=1), np.arange(len(TEXTS)))


@pytest.mark.slow
def test_the_head_solves_the_equations_of_ridge_regression(shipped: CompactFigures[Matrix]) -> None:
    pictures = seen([{text: 1.0, "text 0": 0.3} for text in TEXTS])
    figures = train_head(bare(shipped), pictures, embed)
    visual = pictures.visual.double().numpy()
    kernel = np.exp(-SHARPNESS / 2 * np.square(visual[:, None] - visual[None]).sum(axis=2))
    centred = unit(embed(TEXTS) - shipped.text_mean.astype(np.float64))
    said = unit(unit(centred + 0.3 * centred[:1] * (np.arange(len(TEXTS)) > 0)[:, None]) @ figures.word_projection)
    answers = figures.drawing_words.astype(np.float64)
    predicted = (kernel - kernel.mean(axis=0)) @ answers
    np.testing.assert_allclose(predicted + RIDGE * answers, said - said.mean(axis=0), atol=1e-4)


@pytest.mark.slow
def test_captions_of_very_many_pictures_and_pictures_without_captions_are_left_out(
    shipped: CompactFigures[Matrix],
) -> None:
    captions: list[dict[str, float]] = [{text: 1.0, "text 900": 0.3} for text in TEXTS]
    captions += [{"text 900": 1.0}] * (MAX_PICTURES_OF_A_CAPTION + 1 - len(TEXTS)) + [{}]
    figures = train_head(bare(shipped), seen(captions), embed)
    assert len(figures.drawing_rows) == len(TEXTS)
    without = train_head(bare(shipped), seen([{text: 1.0} for text in TEXTS]), embed)
    assert np.allclose(figures.word_projection, without.word_projection, atol=1e-5)


def test_training_twice_gives_the_same_figures(shipped: CompactFigures[Matrix]) -> None:
    pictures = seen([{text: 1.0} for text in TEXTS])
    first, second = (train_head(bare(shipped), pictures, embed) for _ in range(2))
    assert first.to_bytes() == second.to_bytes()


def test_joint_projections_keep_inner_products_and_lose_least_first() -> None:
    random = np.random.default_rng(0)
    mixing = random.standard_normal((12, 12)) * np.logspace(0, -3, 12)
    pictures, texts = random.standard_normal((500, 12)) @ mixing, random.standard_normal((400, 12)) @ mixing
    exact = pictures @ texts.T
    errors = []
    for width in (12, 6, 3):
        picture_joint, text_joint = joint_projections(pictures, texts, width)
        errors.append(np.square(pictures @ picture_joint @ (texts @ text_joint).T - exact).mean())
    axes = np.linalg.svd(np.concatenate([pictures, texts]), full_matrices=False)[2][:3].T
    principal = np.square(pictures @ axes @ (texts @ axes).T - exact).mean()
    assert errors[0] < 1e-9 * np.square(exact).mean()
    assert errors[0] < errors[1] < errors[2] < principal


@pytest.fixture(scope="module")
def sample(shipped: CompactFigures[Matrix]) -> tuple[Matrix, NetworkOutput, Tensor]:
    """Text vectors, what the network sees, and visual parts of every sixth item of the sample."""
    with (SAMPLE / "catalog.csv").open(encoding="utf-8", newline="") as file:
        items = list(csv.DictReader(file))[::6]
    encoder = load_compact(KNOWN_MODELS["compact"], device="cpu")
    pictures = [decode((SAMPLE / item["image"].split("|")[0]).read_bytes()).rgb for item in items]
    with encoder.networks.pictures.use() as tower, torch.inference_mode():
        sight = tower.network(torch.from_numpy(np.stack([encoder.prepare(picture) for picture in pictures])))
    vectors = encoder.encode_titles([item["title"] for item in items])
    return vectors, sight, visual_part(sight, shipped.mapped(torch.from_numpy))


def test_the_joined_semantics_score_as_both_bridges_do(
    shipped: CompactFigures[Matrix], sample: tuple[Matrix, NetworkOutput, Tensor]
) -> None:
    vectors, sight, visual = sample
    tensors = shipped.mapped(torch.from_numpy)
    apart = text_classes(vectors, shipped) @ picture_classes(sight.scores, tensors).numpy().T
    apart += text_words(vectors, shipped) @ drawing_words(visual, tensors).numpy().T
    joined = text_semantics(vectors, shipped) @ picture_semantics(sight.scores, visual, tensors).numpy().T
    assert np.corrcoef(apart.flatten(), joined.flatten())[0, 1] > 0.95


def test_more_titles_of_the_sample_find_their_pictures_than_without_the_head(
    shipped: CompactFigures[Matrix], sample: tuple[Matrix, NetworkOutput, Tensor]
) -> None:
    vectors, sight, visual = sample
    wanted = [[place] for place in range(len(vectors))]
    tensors = shipped.mapped(torch.from_numpy)
    without = torch.from_numpy(text_classes(vectors, shipped)) @ picture_classes(sight.scores, tensors).T
    joined = torch.from_numpy(text_semantics(vectors, shipped)) @ picture_semantics(sight.scores, visual, tensors).T
    assert recall(joined, wanted)[0] > recall(without, wanted)[0] + 10


def test_recall_is_that_computed_by_hand() -> None:
    scores = -torch.arange(20.0).expand(2, 20)  # the order is 0, 1, 2...
    assert recall(scores, [[0, 3], [7]]).tolist() == pytest.approx([50, 50, 100])
    assert recall(scores, [[0, 1, 12], [12]]).tolist() == pytest.approx([50, 100 / 3, 100 / 3])


def test_a_trial_asks_for_one_half_of_the_names_among_all_pictures() -> None:
    names = ["cup", "", "apple", "cup", "dog", "mailbox"]
    trials = [Trial.from_names(names, part) for part in (0, 1)]
    assert sorted(trials[0].texts + trials[1].texts) == ["apple", "cup", "dog", "mailbox"]
    assert all(trial.pictures.tolist() == [0, 2, 3, 4, 5] for trial in trials)
    found = dict(zip(trials[0].texts + trials[1].texts, trials[0].relevant + trials[1].relevant, strict=True))
    assert found == {"cup": [0, 2], "apple": [1], "dog": [3], "mailbox": [4]}


def test_names_that_were_captions_can_be_left_out() -> None:
    trial = Trial(["a cup", "cup", "the apple", "dog"], [[0], [1], [2], [3]], torch.arange(4))
    unheard = trial.without({"cup", "fruit"})
    assert (unheard.texts, unheard.relevant) == (["the apple", "dog"], [[2], [3]])


def test_a_drawing_is_captioned_by_its_title_and_less_by_its_keywords() -> None:
    clipart = Clipart(
        "food/pear", Path("pear.png"), ("food",), "Green Pear 2", ("fruit", "clip art", "aa"), "Ann", True
    )
    assert caption_drawing(clipart) == ("green pear", {"green pear": 1.0, "fruit": 0.3})


def test_emoji_are_captioned_by_name_and_keywords_and_flags_skin_tones_and_sequences_left_out(tmp_path: Path) -> None:
    (tmp_path / "emoji-test.txt").write_text(
        "# group: Food & Drink\n"
        "1F350 ; fully-qualified     # 🍐 E0.6 pear\n"
        "2615 FE0F ; fully-qualified     # ☕️ E0.6 hot beverage\n"
        "2615 ; unqualified     # ☕ E0.6 hot beverage\n"
        "1F44B 1F3FB ; fully-qualified     # 👋🏻 E1.0 waving hand: light skin tone\n"
        "# group: Flags\n"
        "1F3C1 ; fully-qualified     # 🏁 E0.6 chequered flag\n",
        encoding="utf-8",
    )
    (tmp_path / "en.xml").write_text(
        '<ldml><annotations><annotation cp="🍐">fruit | pear</annotation>'
        '<annotation cp="🍐" type="tts">pear</annotation></annotations></ldml>',
        encoding="utf-8",
    )
    assert caption_emoji(tmp_path / "emoji-test.txt", tmp_path / "en.xml") == {
        "🍐": ("pear", {"fruit": 0.3, "pear": 1.0}),
        "☕": ("hot beverage", {"hot beverage": 1.0}),
    }


def test_stamps_are_named_by_the_text_beside_them(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    for name, picture, text in (
        ("food/pear", Image.new("RGB", (60, 60), "green"), "A pear.\nde.utf8=Eine Birne.\n"),
        ("food/rice", Image.fromarray(noise), "Some rice."),
        ("food/unnamed", Image.new("RGB", (60, 60), "red"), None),
        ("symbols/a", Image.new("RGB", (60, 60), "black"), "The letter A."),
    ):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        picture.save(path)
        if text:
            path.with_suffix(".txt").write_text(text)
    assert [label.name for _, label in read_stamps(tmp_path)] == ["a pear", "some rice"]
    assert [label.name for _, label in read_stamps(tmp_path, photographs_only=True)] == ["some rice"]
    assert not any(label.trainable for _, label in read_stamps(tmp_path))


def test_the_figures_are_a_few_megabytes(shipped: CompactFigures[Matrix]) -> None:
    assert len(shipped.to_bytes()) < 4_000_000
    assert {field.name for field in fields(shipped)} > {field.name for field in fields(shipped.without_head())}

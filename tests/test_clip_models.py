from __future__ import annotations

import json
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lookalike.data.errors import UsageError, WeightsUnavailable
from lookalike.models import Modality, load_encoder
from lookalike.models.encoders.open_clip_encoder import load_open_clip
from lookalike.models.registry.checkpoint import find_checkpoint
from lookalike.models.registry.names import parse_name
from lookalike.models.registry.open_clip_table import architecture_config, published_weights
from tests.checkpoints import (
    QUICKEST_IS_EXACT,
    TEXTS,
    TINY,
    assert_same_rows,
    pictures,
    reference,
    save_folder,
    save_tokenizer,
    settled,
)

pytestmark = pytest.mark.weights


def check_parity(name: str, network: nn.Module, transform: Any, tokenizer: Any) -> None:  # noqa: ANN401
    """Compare our rows of 24 pictures and 22 texts with those that open_clip itself makes from the same network."""
    images = pictures(24)
    texts = TEXTS[::3]
    inputs = torch.stack([transform(image) for image in images])
    their_pictures = reference(network.encode_image, inputs)  # type: ignore[arg-type]
    their_texts = reference(network.encode_text, tokenizer(texts))  # type: ignore[arg-type]
    del inputs
    encoder = load_encoder(name, device="cpu")  # in the precision that is quickest on this machine
    assert encoder.spec.modalities == {Modality.IMAGE, Modality.TEXT}
    assert encoder.spec.dim == encoder.spec.title_dim == their_pictures.shape[1]
    ours, our_texts = encoder.encode_images(images), encoder.encode_texts(texts)
    assert (ours * their_pictures).sum(axis=1).min() > 0.999
    assert (our_texts * their_texts).sum(axis=1).min() > 0.999
    if not QUICKEST_IS_EXACT:
        encoder = load_open_clip(find_checkpoint(parse_name(name)), device="cpu", precision=torch.float32)
        ours, our_texts = encoder.encode_images(images[:12]), encoder.encode_texts(texts[:12])
    assert_same_rows(ours, their_pictures)
    assert_same_rows(our_texts, their_texts)
    np.testing.assert_allclose(ours, their_pictures[: len(ours)], atol=2e-5)


def test_vit_b_32_from_a_file_of_torch(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network, _, transform = open_clip.create_model_and_transforms("ViT-B-32", load_weights=False)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "mine.pt")
    check_parity(
        f"open_clip:ViT-B-32/{tmp_path}/mine.pt", network.eval(), transform, open_clip.get_tokenizer("ViT-B-32")
    )


def test_mobileclip2_from_a_folder(tmp_path: Path) -> None:
    """Half of its usual input size, a quarter of the work."""
    config = architecture_config("MobileCLIP2-S0")
    config["vision_cfg"]["image_size"] = 128
    save_folder(tmp_path, config, interpolation="bilinear", mean=[0, 0, 0], std=[1, 1, 1])
    network, _, transform = open_clip.create_model_and_transforms(f"local-dir:{tmp_path}")
    settled(network, network.encode_image, torch.stack([transform(image) for image in pictures(8)]))
    save_file(network.state_dict(), tmp_path / "open_clip_model.safetensors")
    check_parity(str(tmp_path), network, transform, open_clip.get_tokenizer("MobileCLIP2-S0"))


def test_siglip_2_from_a_folder_with_its_tokenizer(tmp_path: Path) -> None:
    """The whole architecture but for the vocabulary, which is of the small tokenizer saved beside it."""
    save_tokenizer(tmp_path, TEXTS, size=400)
    size = len(json.loads((tmp_path / "tokenizer.json").read_text())["model"]["vocab"])
    config = architecture_config("ViT-B-32-SigLIP2-256")
    config["text_cfg"]["vocab_size"] = size
    network = save_folder(tmp_path, config, resize_mode="squash")
    theirs, _, transform = open_clip.create_model_and_transforms(f"local-dir:{tmp_path}")
    assert (theirs.visual.trunk.pos_embed == network.visual.trunk.pos_embed).all()  # type: ignore[union-attr]
    check_parity(str(tmp_path), theirs.eval(), transform, open_clip.get_tokenizer(f"local-dir:{tmp_path}"))
    encoder = load_encoder(str(tmp_path), device="cpu")
    assert encoder.notices_about(["bread " * 70]) == (
        "The model reads only the first 64 tokens of a text; the end of yours was not read.",
    )
    assert encoder.notices_about(TEXTS) == ()
    (tmp_path / "tokenizer.json").write_text((tmp_path / "tokenizer.json").read_text().replace("▁dogs", "▁cogs"))
    assert load_encoder(str(tmp_path)).spec.preprocessing != encoder.spec.preprocessing  # reads texts otherwise


def test_a_text_network_of_transformers_is_built_from_the_configuration_beside(tmp_path: Path) -> None:
    save_tokenizer(tmp_path, TEXTS, size=300)
    size = len(json.loads((tmp_path / "tokenizer.json").read_text())["model"]["vocab"])
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    facts = {"model_type": "xlm-roberta", "vocab_size": size, "pad_token_id": 0, **shape}
    (tmp_path / "config.json").write_text(json.dumps(facts))
    words = {"hf_model_name": str(tmp_path), "hf_tokenizer_name": "xlm-roberta-base", "hf_model_pretrained": False}
    network = save_folder(tmp_path, {**TINY, "text_cfg": words, "custom_text": True})
    config = json.loads((tmp_path / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["hf_model_name"] = "xlm-roberta-base"  # as published, to be had from the hub
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    tokens = open_clip.get_tokenizer(f"local-dir:{tmp_path}")(TEXTS)
    theirs = reference(network.encode_text, tokens)  # type: ignore[arg-type]
    exact = load_open_clip(find_checkpoint(parse_name(str(tmp_path))), device="cpu", precision=torch.float32)
    np.testing.assert_allclose(exact.encode_texts(TEXTS), theirs, atol=2e-5)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_folder(folder, TINY)
    return folder


def test_what_a_catalog_stores_of_a_folder_has_no_path_in_it(tiny: Path) -> None:
    spec = load_encoder(str(tiny)).spec
    assert spec.name == "local:tiny"
    assert (spec.dim, spec.input_size) == (48, 64)
    assert str(tiny.parent) not in repr(spec)
    file = load_encoder(f"open_clip:ViT-B-32/{tiny}/open_clip_model.safetensors").spec
    assert file.name == "open_clip:ViT-B-32/open_clip_model.safetensors"
    assert file.weights_sha256 == spec.weights_sha256


def test_long_texts_are_cut_with_a_notice(tiny: Path) -> None:
    encoder = load_encoder(str(tiny), device="cpu")
    long = "a red mug " * 20
    assert (encoder.encode_texts([long]) == encoder.encode_texts([long + "and a dog"])).all()
    assert "first 16 tokens" in encoder.notices_about([long])[0]
    assert encoder.notices_about(["a red mug"]) == ()


def test_titles_are_compared_in_the_same_space(tiny: Path) -> None:
    encoder = load_encoder(str(tiny), device="cpu")
    np.testing.assert_array_equal(encoder.encode_titles(TEXTS[:4]), encoder.encode_texts(TEXTS[:4]))


def test_other_preprocessing_or_architecture_is_another_model(tmp_path: Path, tiny: Path) -> None:
    save_folder(tmp_path / "tiny", TINY, resize_mode="longest")
    save_folder(tmp_path / "quick" / "tiny", {**TINY, "quick_gelu": True})
    specs = [load_encoder(str(folder)).spec for folder in (tiny, tmp_path / "tiny", tmp_path / "quick" / "tiny")]
    assert {spec.name for spec in specs} == {"local:tiny"}
    assert len({spec.weights_sha256 for spec in specs}) == 1
    assert len({spec.preprocessing for spec in specs}) == 3


class Harm:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('code of a checkpoint was run')",)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (pickle.dumps(Harm()), "reading it would run code from it"),
        (b"PK\x03\x04 cut short", "damaged"),
        (b"", "damaged"),
    ],
)
def test_a_file_that_is_no_plain_weights_is_refused_in_words(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "bad.pt").write_bytes(content)
    encoder = load_encoder(f"open_clip:ViT-S-32-alt/{tmp_path}/bad.pt", device="cpu")
    with pytest.raises(WeightsUnavailable, match=sentence):
        encoder.encode_texts(["a cup"])


def test_weights_of_another_architecture_are_refused_in_words(tiny: Path) -> None:
    encoder = load_encoder(f"open_clip:ViT-S-32-alt/{tiny}/open_clip_model.safetensors", device="cpu")
    with pytest.raises(WeightsUnavailable, match="not a file of weights of open_clip:ViT-S-32-alt"):
        encoder.encode_texts(["a cup"])


def test_the_table_read_as_data_is_the_one_that_open_clip_has() -> None:
    theirs = {
        (architecture, tag): open_clip.get_pretrained_cfg(architecture, tag)["hf_hub"]
        for architecture, tag in open_clip.list_pretrained()
    }
    assert dict(published_weights()) == theirs
    assert len(theirs) > 150


@pytest.mark.parametrize(
    ("name", "error", "sentence"),
    [
        ("open_clip:ViT-B-32/no_such_tag", UsageError, "its published weights are openai, "),
        ("open_clip:ViT-B-33/openai", UsageError, "no architecture 'ViT-B-33'"),
        ("open_clip:ViT-B-32/none/none.pt", WeightsUnavailable, "no weights at"),
        ("hf-hub:laion", UsageError, "hf-hub:ORGANISATION/NAME"),
        ("hf-hub:laion/none", WeightsUnavailable, "lookalike models fetch hf-hub:laion/none"),
        ("clip", WeightsUnavailable, "lookalike models fetch clip$"),
        ("open_clip:ViT-L-14/openai", WeightsUnavailable, "lookalike models fetch open_clip:ViT-L-14/openai"),
        ("none/none", WeightsUnavailable, "no weights at"),
    ],
)
def test_what_cannot_be_found_is_said_with_what_to_do(name: str, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        load_encoder(name)


def test_a_bare_file_without_configuration_says_how_to_name_it(tmp_path: Path) -> None:
    (tmp_path / "mine.pt").touch()
    with pytest.raises(UsageError, match="open_clip:ARCHITECTURE/mine.pt"):
        load_encoder(str(tmp_path / "mine.pt"))
    with pytest.raises(UsageError, match="has mine.pt, other.pt"):
        (tmp_path / "other.pt").touch()
        load_encoder(str(tmp_path))


def test_missing_weights_are_said_within_a_second_and_without_torch() -> None:
    code = (
        "import sys, time\n"
        "from lookalike import WeightsUnavailable\n"
        "from lookalike.models import load_encoder\n"
        "started = time.perf_counter()\n"
        "for name in ('clip', 'open_clip:ViT-B-16/openai', 'hf-hub:a/b', 'resnet50'):\n"
        "    try: load_encoder(name)\n"
        "    except WeightsUnavailable: pass\n"
        "    else: raise SystemExit(name)\n"
        "print(time.perf_counter() - started, 'torch' in sys.modules, 'open_clip' in sys.modules)\n"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    seconds, *loaded = done.stdout.split()
    assert loaded == ["False", "False"]
    assert float(seconds) < 4  # for four of them


def test_the_hash_of_a_large_file_is_remembered(tiny: Path) -> None:
    checkpoint = find_checkpoint(parse_name(str(tiny)))
    first = checkpoint.weights_sha256
    started = time.perf_counter()
    assert checkpoint.weights_sha256 == first
    assert time.perf_counter() - started < 0.01

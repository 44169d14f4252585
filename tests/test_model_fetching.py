from __future__ import annotations

import hashlib
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import huggingface_hub.file_download
import huggingface_hub.hf_api
import pytest

from lookalike.data.errors import UsageError, WeightsUnavailable
from lookalike.models import choose_model, load_encoder
from lookalike.models.registry.checkpoint import find_checkpoint
from lookalike.models.registry.names import parse_name
from lookalike.models.weights.download import fetch, verify
from tests.checkpoints import TEXTS, TINY, save_folder, save_tokenizer
from tests.hub import Hub

pytestmark = pytest.mark.weights

SHOP_CLIP = "hf-hub:shop/clip"


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub with a model whose tokenizer lies in another repository, as SigLIP 2's may."""
    root = tmp_path_factory.mktemp("hub")
    save_tokenizer(root / "shop" / "words", TEXTS, size=300)
    text = {**TINY["text_cfg"], "hf_tokenizer_name": "shop/words", "vocab_size": 300}
    save_folder(root / "shop" / "clip", {**TINY, "text_cfg": text})
    (root / "shop" / "words" / "README.md").write_text("Nobody needs this.")
    return root


@pytest.fixture
def hub(repositories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The hub, and an empty cache; huggingface_hub takes both from the environment when it is imported."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with Hub(repositories).running() as running:
        for module in (huggingface_hub.constants, huggingface_hub.hf_api):
            monkeypatch.setattr(module, "ENDPOINT", running.address, raising=False)
        template = running.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield running


def ignore(_name: str, _done: int, _total: int | None) -> None:
    pass


def test_what_is_fetched_is_found_verified_and_loaded_without_the_hub(hub: Hub) -> None:
    heard: dict[str, tuple[int, int | None]] = {}
    checkpoint = fetch(parse_name(SHOP_CLIP), lambda name, done, total: heard.update({name: (done, total)}))
    size = checkpoint.weights.stat().st_size
    assert heard["open_clip_model.safetensors"] == (size, size)
    assert not any("README" in request for request in hub.requests)
    asked = len(hub.requests)
    assert find_checkpoint(parse_name(SHOP_CLIP)) == checkpoint
    assert [one.as_expected for one in verify(checkpoint)] == [True] * 3
    encoder = load_encoder(SHOP_CLIP, device="cpu")
    assert encoder.encode_texts(["a red mug"]).shape == (1, 48)
    assert encoder.spec.name == SHOP_CLIP
    assert encoder.spec.weights_sha256 == hashlib.sha256(checkpoint.weights.read_bytes()).hexdigest()
    assert len(hub.requests) == asked


def test_a_connection_that_breaks_is_taken_up_where_it_broke(hub: Hub) -> None:
    hub.cut = "open_clip_model.safetensors"
    checkpoint = fetch(parse_name(SHOP_CLIP), ignore)
    assert [one.as_expected for one in verify(checkpoint)] == [True] * 3
    assert sum(request.startswith("GET") and "open_clip_model" in request for request in hub.requests) == 2


@pytest.mark.parametrize("file", ["open_clip_model.safetensors", "tokenizer.json"])
def test_a_file_with_another_hash_than_announced_is_removed_and_said(hub: Hub, file: str, tmp_path: Path) -> None:
    hub.corrupt = file
    with pytest.raises(WeightsUnavailable, match=rf"{file} of shop/\w+ differs from the hash that the hub announced"):
        fetch(parse_name(SHOP_CLIP), ignore)
    assert not list((tmp_path / "cache").rglob(file))
    with pytest.raises(WeightsUnavailable, match="lookalike models fetch hf-hub:shop/clip"):
        load_encoder(SHOP_CLIP)
    hub.corrupt = None
    fetch(parse_name(SHOP_CLIP), ignore)


def test_a_folder_of_ones_own_is_filled_and_works_elsewhere(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOKALIKE_MODELS", str(tmp_path / "usb"))
    checkpoint = fetch(parse_name(SHOP_CLIP), ignore)
    assert checkpoint.weights == tmp_path / "usb" / "shop" / "clip" / "open_clip_model.safetensors"
    assert [one.as_expected for one in verify(checkpoint)] == [True] * 3
    (tmp_path / "usb").rename(tmp_path / "carried")
    monkeypatch.setenv("LOOKALIKE_MODELS", str(tmp_path / "carried"))
    assert load_encoder(SHOP_CLIP, device="cpu").encode_texts(["a red mug"]).shape == (1, 48)


def test_a_byte_that_changed_on_the_disk_is_found_by_verify(hub: Hub) -> None:
    weights = fetch(parse_name(SHOP_CLIP), ignore).weights.resolve()
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert [one.as_expected for one in verify(find_checkpoint(parse_name(SHOP_CLIP)))] == [False, True, True]


def test_what_the_hub_does_not_have_is_said(hub: Hub, repositories: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="no repository shop/none"):
        fetch(parse_name("hf-hub:shop/none"), ignore)
    with pytest.raises(WeightsUnavailable, match="shop/words has none of the files open_clip_config.json"):
        fetch(parse_name("hf-hub:shop/words"), ignore)
    with pytest.raises(UsageError, match="nothing to fetch"):
        fetch(parse_name("compact"), ignore)


def test_a_hub_that_does_not_answer_is_said(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    for module in (huggingface_hub.constants, huggingface_hub.hf_api):
        monkeypatch.setattr(module, "ENDPOINT", nobody, raising=False)
    with pytest.raises(WeightsUnavailable, match="could not be fetched"):
        fetch(parse_name(SHOP_CLIP), ignore)


def test_auto_is_clip_where_its_weights_are_here_else_compact(
    repositories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOKALIKE_MODELS", str(tmp_path))
    assert choose_model().name == "compact"
    assert "not on this machine" in choose_model().reason
    place = tmp_path / "CLIP-ViT-B-32-256x256-DataComp-s34B-b86K"
    place.mkdir()
    shutil.copy(repositories / "shop" / "clip" / "open_clip_model.safetensors", place)
    assert choose_model().name == "clip"
    assert load_encoder("auto", device="cpu").spec.name == "open_clip:ViT-B-32-256/datacomp_s34b_b86k"

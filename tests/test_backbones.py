from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision  # type: ignore[import-untyped]
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from lookalike.data.errors import ModalityUnsupported, UsageError, WeightsUnavailable
from lookalike.models import Modality, ModelSpec, Prepared, load_encoder
from lookalike.models.encoders.backbones import timm_repository
from lookalike.models.torch_base.batches import largest_batch, pictures_per_batch
from lookalike.models.torch_base.torch_encoder import TorchEncoder
from tests.checkpoints import assert_same_rows, pictures, reference, settled

pytestmark = pytest.mark.weights


def check_parity(name: str, network: nn.Module, inputs: Tensor) -> None:
    """Compare our rows of 24 pictures with what the library's own network gives before its classifier."""
    images = pictures(24)
    theirs = reference(network, inputs)
    encoder = load_encoder(name, device="cpu")
    assert encoder.spec.modalities == {Modality.IMAGE}
    assert (encoder.spec.dim, encoder.spec.title_dim) == (theirs.shape[1], 0)
    ours = encoder.encode_images(images)
    assert_same_rows(ours, theirs)
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_resnet50_gives_its_penultimate_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    preset = torchvision.models.ResNet50_Weights.DEFAULT.transforms()
    inputs = torch.stack([preset(image) for image in pictures(24)])
    network = torchvision.models.resnet50()
    settled(network, network, inputs[:8])
    torch.save(network.state_dict(), tmp_path / "resnet50-11ad3fa6.pth")
    monkeypatch.setenv("LOOKALIKE_MODELS", str(tmp_path))
    whole = dict(network.named_children())
    penultimate = nn.Sequential(*[layer for name, layer in whole.items() if name != "fc"], nn.Flatten())
    check_parity("resnet50", penultimate, inputs)
    assert load_encoder("resnet50").spec.dim == 2048
    own = load_encoder(f"torchvision:resnet50/{tmp_path}/resnet50-11ad3fa6.pth").spec
    assert own.name == "torchvision:resnet50/resnet50-11ad3fa6.pth"
    assert own.preprocessing == load_encoder("resnet50").spec.preprocessing


def test_a_timm_backbone_from_a_file_and_from_a_folder_as_timm_saves_it(tmp_path: Path) -> None:
    torch.manual_seed(4)
    network = timm.create_model("mobilenetv3_small_050.lamb_in1k", num_classes=10)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network), is_training=False)
    inputs = torch.stack([transform(image) for image in pictures(24)])
    settled(network, network, inputs[:8])
    save_file(network.state_dict(), tmp_path / "mine.safetensors")
    timm.models.save_for_hf(network, tmp_path / "saved")
    network.reset_classifier(0)
    check_parity(f"timm:mobilenetv3_small_050.lamb_in1k/{tmp_path}/mine.safetensors", network, inputs)
    saved = load_encoder(str(tmp_path / "saved"), device="cpu")
    assert saved.spec.name == "local:saved"
    assert (saved.encode_images(pictures(24)[:4]) * reference(network, inputs[:4])).sum(axis=1).min() > 0.999


def test_words_are_refused_by_a_picture_model(tmp_path: Path) -> None:
    save_file(timm.create_model("resnet10t").state_dict(), tmp_path / "mine.safetensors")
    encoder = load_encoder(f"timm:resnet10t/{tmp_path}/mine.safetensors", device="cpu")
    for encode in (encoder.encode_texts, encoder.encode_titles):
        with pytest.raises(ModalityUnsupported, match="This catalogue has no text model"):
            encode(["a cup"])


@pytest.mark.parametrize(
    ("name", "error", "sentence"),
    [
        ("resnet50", WeightsUnavailable, "lookalike models fetch resnet50; or put resnet50-11ad3fa6.pth into"),
        ("torchvision:resnet51", UsageError, "no model 'resnet51'"),
        ("torchvision:resnet50/V9", UsageError, "it has IMAGENET1K_V1, IMAGENET1K_V2"),
        ("torchvision:resnet18", WeightsUnavailable, "resnet18-f37072fd.pth"),
        ("timm:no_such_model", UsageError, "no model 'no_such_model'"),
        ("timm:resnet18.a1_in1k", WeightsUnavailable, "lookalike models fetch timm:resnet18.a1_in1k"),
    ],
)
def test_what_cannot_be_found_is_said(name: str, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        load_encoder(name)


def test_timm_says_where_weights_are_even_where_that_is_unusual() -> None:
    assert timm_repository("resnet18.a1_in1k") == ("timm/resnet18.a1_in1k", None)
    assert timm_repository("resnet18")[0].startswith("timm/resnet18.")


class Cramped(TorchEncoder):
    """Has memory for so many pictures at a time and no more; gives a picture's mean colour."""

    def __init__(self, room: int) -> None:
        spec = ModelSpec("cramped", 3, 4, frozenset({Modality.IMAGE}), "none/1", "0" * 64)
        super().__init__(spec, torch.device("cpu"))
        self.room = room
        self.sizes: list[int] = []

    def prepare(self, image: Image.Image) -> Prepared:
        return np.asarray(image.resize((4, 4)), dtype=np.uint8)

    def _picture_rows(self, pictures: Tensor) -> Tensor:
        self.sizes.append(len(pictures))
        if len(pictures) > self.room:
            raise torch.OutOfMemoryError("no room")
        return pictures.float().mean(dim=(1, 2))


@pytest.mark.parametrize("room", [1, 3, 5])
def test_out_of_memory_halves_the_batch_and_goes_on(room: int) -> None:
    encoder, roomy = Cramped(room), Cramped(1000)
    batch = [np.full((4, 4, 3), value, dtype=np.uint8) for value in range(10, 31)]
    np.testing.assert_array_equal(encoder.encode_prepared(batch), roomy.encode_prepared(batch))
    fitting = max(size for size in encoder.sizes if size <= room)
    encoder.sizes.clear()
    encoder.encode_prepared(batch)
    assert max(encoder.sizes) == fitting  # it remembers


def test_a_model_that_does_not_fit_at_all_is_said() -> None:
    with pytest.raises(UsageError, match="does not fit into the memory"):
        Cramped(0).encode_prepared([np.zeros((4, 4, 3), dtype=np.uint8)])


def test_the_batch_goes_by_size_and_memory() -> None:
    sizes: Sequence[int] = [largest_batch(side, 8 << 30, 256) for side in (64, 224, 256, 384, 512)]
    assert list(sizes) == sorted(sizes, reverse=True)
    assert sizes[0] == 256
    assert largest_batch(224, 1 << 20, 256) == 1
    assert largest_batch(224, 1 << 50, 16) == 16
    assert pictures_per_batch(224, torch.device("cpu")) in (1, 2, 4, 8, 16)

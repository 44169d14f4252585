"""Picture-only models: a torchvision or timm network without its classifier.

The features of ResNet-50 (He et al., 2016, arXiv:1512.03385) and similar networks compare pictures with pictures. There
is no text network, so a search by words is not possible.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import timm
import torch
from PIL import Image
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torchvision import models as torchvision_models  # type: ignore[import-untyped]
from torchvision import transforms

from lookalike.data.errors import UsageError
from lookalike.models.base import Modality, ModelSpec, Prepared
from lookalike.models.registry.checkpoint import Checkpoint, torchvision_weights
from lookalike.models.registry.names import Family
from lookalike.models.torch_base.precision import fastest_precision
from lookalike.models.torch_base.torch_encoder import TorchEncoder, Tower, pick_device
from lookalike.models.torch_base.transforms import Transform
from lookalike.models.weights.state_dicts import loading, read_state

__all__ = ["BackboneEncoder", "load_backbone", "timm_repository"]


@dataclass(frozen=True, slots=True)
class NetworkRecipe:
    """How a library makes a network: the length of its rows, its preprocessing, and a function that builds it."""

    dim: int
    transform: Transform
    preprocessing: str
    build: Callable[[], nn.Module]


@dataclass(frozen=True, slots=True)
class Backbone:
    """A network without its classifier, and the number format it computes in."""

    network: nn.Module
    precision: torch.dtype


class BackboneEncoder(TorchEncoder):
    """The encoder of a picture network, which is loaded at first use."""

    def __init__(self, spec: ModelSpec, device: torch.device, transform: Transform, backbone: Tower[Backbone]) -> None:
        super().__init__(spec, device)
        self.transform = transform
        self.backbone = backbone

    def prepare(self, image: Image.Image) -> Prepared:
        """Resize and crop as the library does for this network: uint8 [input_size, input_size, 3]."""
        return self.transform.prepare(image)

    def _picture_rows(self, pictures: Tensor) -> Tensor:
        with self.backbone.use() as backbone:
            rows: Tensor = backbone.network(self.transform.normalized(pictures, backbone.precision))
        return rows


def load_backbone(checkpoint: Checkpoint, *, device: str = "auto") -> BackboneEncoder:
    """Return the encoder; its weights are hashed now and read when the first picture comes.

    Raises:
        UsageError: this machine has no such device, or the library has no such network.
        WeightsUnavailable: the files cannot be read.
    """
    target = pick_device(device)
    recipe = (_torchvision if checkpoint.name.family is Family.TORCHVISION else _timm)(checkpoint)
    spec = ModelSpec(
        name=str(checkpoint.name),
        dim=recipe.dim,
        input_size=recipe.transform.size,
        modalities=frozenset({Modality.IMAGE}),
        preprocessing=f"{recipe.preprocessing}-{recipe.transform.described()}/1",
        weights_sha256=checkpoint.weights_sha256,
    )

    def load() -> Backbone:
        with loading(checkpoint.weights, str(checkpoint.name)):
            network = recipe.build().eval().requires_grad_(False)
        precision = fastest_precision(target, network)
        network = _with_folded_norms(network)
        return Backbone(network.to(target, precision).to(memory_format=torch.channels_last), precision)

    return BackboneEncoder(spec, target, recipe.transform, Tower(load))


def _with_folded_norms(network: nn.Module) -> nn.Module:
    """Fold batch norms into the convolutions before them: the same up to rounding, with one pass less over each map."""
    try:
        return fuse(network, inplace=True)
    except Exception:  # a network that cannot be traced, which may fail in any way, runs unchanged
        return network


# --- torchvision -----------------------------------------------------------------------------------------------------


def _torchvision(checkpoint: Checkpoint) -> NetworkRecipe:
    name = checkpoint.name
    weights = torchvision_weights(name)
    preset = weights.transforms()
    steps = [
        transforms.Resize(preset.resize_size, interpolation=preset.interpolation, antialias=preset.antialias),
        transforms.CenterCrop(preset.crop_size),
        transforms.ToTensor(),
        transforms.Normalize(preset.mean, preset.std),
    ]
    (crop,), (resized,) = preset.crop_size, preset.resize_size
    with _meta_device():
        _, dim = _remove_classifier(torchvision_models.get_model(name.architecture, weights=None))

    def build() -> nn.Module:
        network: nn.Module = torchvision_models.get_model(name.architecture, weights=None)
        classifier, _ = _remove_classifier(network)
        state = read_state(checkpoint.weights)
        network.load_state_dict({key: value for key, value in state.items() if not key.startswith(f"{classifier}.")})
        return network

    preprocessing = f"torchvision-{resized}-crop-{crop}-{preset.interpolation.value}"
    return NetworkRecipe(dim, Transform.from_steps(steps, crop), preprocessing, build)


def _remove_classifier(network: nn.Module) -> tuple[str, int]:
    """Replace the last linear layer, the classifier, by the identity; return its name and the length of its input."""
    layers = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise UsageError("The network does not end in a linear layer.", remedy="Choose one that does.")
    name, layer = layers[-1]
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, nn.Identity())
    return name, layer.in_features


# --- timm ------------------------------------------------------------------------------------------------------------


def _timm(checkpoint: Checkpoint) -> NetworkRecipe:
    folder = None if checkpoint.config is None else checkpoint.config.parent
    name = checkpoint.name.architecture if folder is None else f"local-dir:{folder}"
    with _meta_device():
        outline = _timm_network(name)
    config = timm.data.resolve_model_data_config(outline)
    sides = set(config["input_size"][1:])
    if len(sides) != 1:
        raise UsageError(
            f"The model takes pictures of {config['input_size'][1:]} pixels; only square ones are supported."
        )
    side = sides.pop()
    preprocessing = f"timm-{config['crop_mode']}-{config['crop_pct']:.4g}-{side}-{config['interpolation']}"
    transform = Transform.from_steps(timm.data.create_transform(**config, is_training=False).transforms, side)

    def build() -> nn.Module:
        source = {"file": str(checkpoint.weights), "source": "file", "custom_load": False}
        return _timm_network(name, pretrained=True, pretrained_cfg_overlay=source)

    dim: Any = getattr(outline, "head_hidden_size", None) or outline.num_features
    return NetworkRecipe(int(dim), transform, preprocessing, build)


def _timm_network(name: str, **options: Any) -> nn.Module:  # noqa: ANN401  # the options of timm
    try:
        network: nn.Module = timm.create_model(name, num_classes=0, **options)
    except RuntimeError as error:
        if "Unknown model" not in str(error):
            raise
        raise UsageError(f"timm has no model {name!r}.") from None
    return network


def timm_repository(name: str) -> tuple[str, str | None]:
    """Return the hub repository of a timm model, and the name of its file if it is not the usual one.

    Raises:
        UsageError: timm has no such model, or no published weights for it.
    """
    config = timm.models.get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        raise UsageError(
            f"timm has no model {name!r} with weights on the hub.", remedy="Name a file of weights: timm:NAME/FILE"
        )
    return config.hf_hub_id, config.hf_hub_filename


@contextmanager
def _meta_device() -> Iterator[None]:
    """Build networks without allocating their weights, to learn their shapes only."""
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

"""Picture-only models: a torchvision or timm network up to the layer before its classifier.

The features of ResNet-50 (He et al., 2016, arXiv:1512.03385) and its like compare pictures with pictures; there is no
text network, so words cannot be searched for.
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
from lookalike.models.torch_base.precision import quick_precision
from lookalike.models.torch_base.torch_encoder import TorchEncoder, Tower, pick_device
from lookalike.models.torch_base.transforms import Transform
from lookalike.models.weights.state_dicts import loading, read_state

__all__ = ["BackboneEncoder", "load_backbone", "timm_repository"]


@dataclass(frozen=True, slots=True)
class Plan:
    """How a library makes a network: the length of its rows, its preprocessing, and the building itself."""

    dim: int
    transform: Transform
    preprocessing: str
    build: Callable[[], nn.Module]


@dataclass(frozen=True, slots=True)
class Backbone:
    """A network without its classifier."""

    network: nn.Module
    precision: torch.dtype


class BackboneEncoder(TorchEncoder):
    """A picture network, read at its first use."""

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
    """Make the encoder; the weights are hashed now and read when a picture comes.

    Raises:
        UsageError: this machine has no such device, or the library has no such network.
        WeightsUnavailable: the files cannot be read.
    """
    target = pick_device(device)
    plan = (_torchvision if checkpoint.name.family is Family.TORCHVISION else _timm)(checkpoint)
    spec = ModelSpec(
        name=str(checkpoint.name),
        dim=plan.dim,
        input_size=plan.transform.size,
        modalities=frozenset({Modality.IMAGE}),
        preprocessing=f"{plan.preprocessing}-{plan.transform.described()}/1",
        weights_sha256=checkpoint.weights_sha256,
    )

    def load() -> Backbone:
        with loading(checkpoint.weights, str(checkpoint.name)):
            network = plan.build().eval().requires_grad_(False)
        chosen = quick_precision(target, network)
        network = _folded(network)
        return Backbone(network.to(target, chosen).to(memory_format=torch.channels_last), chosen)

    return BackboneEncoder(spec, target, plan.transform, Tower(load))


def _folded(network: nn.Module) -> nn.Module:
    """Fold batch norms into the convolutions before them: the same up to rounding, and a pass over the map less."""
    try:
        return fuse(network, inplace=True)
    except Exception:  # a network that cannot be traced fails in ways of its own, and runs as it is
        return network


# --- torchvision -----------------------------------------------------------------------------------------------------


def _torchvision(checkpoint: Checkpoint) -> Plan:
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
    with _outline():
        _, dim = _cut(torchvision_models.get_model(name.architecture, weights=None))

    def build() -> nn.Module:
        network: nn.Module = torchvision_models.get_model(name.architecture, weights=None)
        classifier, _ = _cut(network)
        state = read_state(checkpoint.weights)
        network.load_state_dict({key: value for key, value in state.items() if not key.startswith(f"{classifier}.")})
        return network

    how = f"torchvision-{resized}-crop-{crop}-{preset.interpolation.value}"
    return Plan(dim, Transform.of(steps, crop), how, build)


def _cut(network: nn.Module) -> tuple[str, int]:
    """Take the last linear layer off, which sorts into classes; give its name and the length of what goes into it."""
    layers = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise UsageError("The network does not end in a linear layer; choose one that does.")
    name, layer = layers[-1]
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, nn.Identity())
    return name, layer.in_features


# --- timm ------------------------------------------------------------------------------------------------------------


def _timm(checkpoint: Checkpoint) -> Plan:
    folder = None if checkpoint.config is None else checkpoint.config.parent
    name = checkpoint.name.architecture if folder is None else f"local-dir:{folder}"
    with _outline():
        outline = _timm_network(name)
    config = timm.data.resolve_model_data_config(outline)
    sides = set(config["input_size"][1:])
    if len(sides) != 1:
        raise UsageError(
            f"The model takes pictures of {config['input_size'][1:]} pixels; only square ones are supported."
        )
    side = sides.pop()
    how = f"timm-{config['crop_mode']}-{config['crop_pct']:.4g}-{side}-{config['interpolation']}"
    transform = Transform.of(timm.data.create_transform(**config, is_training=False).transforms, side)

    def build() -> nn.Module:
        source = {"file": str(checkpoint.weights), "source": "file", "custom_load": False}
        return _timm_network(name, pretrained=True, pretrained_cfg_overlay=source)

    dim: Any = getattr(outline, "head_hidden_size", None) or outline.num_features
    return Plan(int(dim), transform, how, build)


def _timm_network(name: str, **options: Any) -> nn.Module:  # noqa: ANN401  # whatever timm takes
    try:
        network: nn.Module = timm.create_model(name, num_classes=0, **options)
    except RuntimeError as error:
        if "Unknown model" not in str(error):
            raise
        raise UsageError(f"timm has no model {name!r}.") from None
    return network


def timm_repository(name: str) -> tuple[str, str | None]:
    """Give the hub's repository of a timm model, and the file in it where it is not called as usual.

    Raises:
        UsageError: timm has no such model, or no published weights for it.
    """
    config = timm.models.get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        raise UsageError(f"timm has no model {name!r} with weights on the hub; give a file: timm:NAME/FILE")
    return config.hf_hub_id, config.hf_hub_filename


@contextmanager
def _outline() -> Iterator[None]:
    """Build networks of no numbers, only to learn their shapes."""
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

"""All models that open_clip builds: CLIP (Radford et al., 2021, arXiv:2103.00020) and its successors.

They include SigLIP 2 (arXiv:2502.14786), MobileCLIP2 (arXiv:2508.20691) and models with XLM-R text networks. Networks,
tokenizers and preprocessing are those of open_clip. This module decides where the files come from, and ensures that
nothing reaches the network: the library's loaders only get local files, and pickled code is never run (`weights_only`,
safetensors).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import open_clip
import torch
from open_clip import factory
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict
from PIL import Image
from torch import Tensor, nn

from lookalike.data.errors import UsageError
from lookalike.models.base import Modality, ModelSpec, Prepared
from lookalike.models.registry.checkpoint import Checkpoint
from lookalike.models.registry.open_clip_table import architecture_config
from lookalike.models.torch_base.precision import fastest_precision
from lookalike.models.torch_base.torch_encoder import TorchEncoder, Tower, pick_device
from lookalike.models.torch_base.transforms import Transform
from lookalike.models.weights.state_dicts import loading

__all__ = ["OpenClipEncoder", "load_open_clip"]


@dataclass(frozen=True, slots=True)
class Towers:
    """The network with its picture and text halves, the tokenizer, and the number format of the picture half."""

    network: nn.Module
    tokenizer: SimpleTokenizer | HFTokenizer
    picture_precision: torch.dtype


class OpenClipEncoder(TorchEncoder):
    """The encoder of an open_clip model, which is loaded at first use."""

    def __init__(self, spec: ModelSpec, device: torch.device, transform: Transform, towers: Tower[Towers]) -> None:
        super().__init__(spec, device)
        self.transform = transform
        self.towers = towers

    def prepare(self, image: Image.Image) -> Prepared:
        """Resize and crop as open_clip does for this model: uint8 [input_size, input_size, 3]."""
        return self.transform.prepare(image)

    def notices_about(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Return a notice if a text is longer than the model reads."""
        with self.towers.use() as towers:
            limit = int(towers.tokenizer.context_length)
            candidates = [text for text in texts if len(text) + 2 > limit // 4]  # shorter ones cannot reach the limit
            truncated = any(_count_tokens(towers.tokenizer, text) > limit for text in candidates)
        notice = f"The model reads only the first {limit} tokens of a text; the end of yours was not read."
        return (notice,) if truncated else ()

    def _picture_rows(self, pictures: Tensor) -> Tensor:
        with self.towers.use() as towers:
            rows: Tensor = towers.network.encode_image(self.transform.normalized(pictures, towers.picture_precision))  # type: ignore[operator]
        return rows

    def _text_rows(self, texts: Sequence[str]) -> Tensor:
        with self.towers.use() as towers:
            rows: Tensor = towers.network.encode_text(towers.tokenizer(list(texts)).to(self.device))  # type: ignore[operator]
        return rows

    def _title_rows(self, texts: Sequence[str]) -> Tensor:
        return self._text_rows(texts)

    def _text_and_title_rows(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        rows = self._text_rows(texts)
        return rows, rows


def load_open_clip(
    checkpoint: Checkpoint, *, device: str = "auto", precision: torch.dtype | None = None
) -> OpenClipEncoder:
    """Return the encoder; its weights are hashed now and read when the first picture or text comes.

    `precision` is the number format the networks compute in, by default the fastest on the device.

    Raises:
        UsageError: this machine has no such device, or the model takes pictures that are not square.
        WeightsUnavailable: the files cannot be read.
    """
    target = pick_device(device)
    config, preprocessing = _config_of(checkpoint)
    size = _side(config["vision_cfg"].get("image_size", 224))
    settings = {**merge_preprocess_dict(PreprocessCfg(), preprocessing), "size": size}
    transform = Transform.from_steps(image_transform_v2(PreprocessCfg(**settings), is_train=False).transforms, size)
    texts = f" texts-{checkpoint.text_sha256[:16]}" if checkpoint.tokenizer is not None else ""
    built = f" config-{_hash_of(config)}" if checkpoint.config is not None else ""
    spec = ModelSpec(
        name=str(checkpoint.name),
        dim=int(config["embed_dim"]),
        input_size=size,
        modalities=frozenset({Modality.IMAGE, Modality.TEXT}),
        preprocessing=f"{settings['resize_mode']}-{size}-{settings['interpolation']}-{transform.described()}/1{texts}{built}",
        weights_sha256=checkpoint.weights_sha256,
        title_dim=int(config["embed_dim"]),
    )

    def load() -> Towers:
        with loading(checkpoint.weights, str(checkpoint.name)):
            network = _network(config, checkpoint)
            factory.load_checkpoint(network, str(checkpoint.weights), weights_only=True)
            network = network.eval().requires_grad_(False)
            tokenizer = _tokenizer(config, checkpoint)
        pictures: nn.Module = network.visual  # type: ignore[assignment]
        network.visual = nn.Identity()  # each half gets the number format that suits it
        network.to(target, precision or fastest_precision(target, network))
        network.visual = pictures
        picture_precision = precision or fastest_precision(target, pictures)
        pictures.to(target, picture_precision).to(memory_format=torch.channels_last)
        return Towers(network, tokenizer, picture_precision)

    return OpenClipEncoder(spec, target, transform, Tower(load))


def _config_of(checkpoint: Checkpoint) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the configurations of the network and of its preprocessing, as open_clip chooses them for the name.

    If published weights were trained with QuickGELU, it is used whether or not the architecture's name says so;
    open_clip itself only warns about it.
    """
    if checkpoint.config is not None:
        facts = json.loads(checkpoint.config.read_bytes())
        if not isinstance(facts.get("model_cfg"), dict):
            raise UsageError(f"{checkpoint.config} has no model_cfg; it is not a configuration written by open_clip.")
        return facts["model_cfg"], facts.get("preprocess_cfg") or {}
    name = checkpoint.name
    config = architecture_config(name.architecture)
    published = {} if name.is_local else open_clip.get_pretrained_cfg(name.architecture, name.weights)
    if published.get("quick_gelu"):
        config["quick_gelu"] = True
    return config, published


def _network(config: dict[str, Any], checkpoint: Checkpoint) -> nn.Module:
    """Build the network from its configuration, with initial weights that are about to be replaced."""
    facts = json.loads(json.dumps(config))
    facts["vision_cfg"]["timm_model_pretrained"] = False
    custom = facts.pop("custom_text", False)
    if checkpoint.text_config is not None:
        facts["text_cfg"] |= {"hf_model_name": str(checkpoint.text_config), "hf_model_pretrained": False}
        custom = True
    kind = (
        open_clip.CoCa
        if custom and "multimodal_cfg" in facts
        else open_clip.CustomTextCLIP
        if custom
        else open_clip.CLIP
    )
    network: nn.Module = kind(**facts)
    return network


def _tokenizer(config: dict[str, Any], checkpoint: Checkpoint) -> SimpleTokenizer | HFTokenizer:
    text = config.get("text_cfg", {})
    length = text.get("context_length") or open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH
    options = text.get("tokenizer_kwargs") or {}
    if checkpoint.tokenizer is None:
        return SimpleTokenizer(context_length=length, **options)
    mode = text.get("tokenizer_mode")
    folder = str(checkpoint.tokenizer)
    offline = {"local_files_only": True, "trust_remote_code": False}
    return HFTokenizer(folder, context_length=length, tokenizer_mode=mode, **offline, **options)


def _count_tokens(tokenizer: SimpleTokenizer | HFTokenizer, text: str) -> int:
    """Return the number of tokens of a text without truncation, including those that mark its start and end."""
    if isinstance(tokenizer, SimpleTokenizer):
        return len(tokenizer.encode(text)) + 2
    return len(tokenizer.tokenizer(tokenizer.clean_fn(text)).input_ids)


def _hash_of(config: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


def _side(size: int | Sequence[int]) -> int:
    sides = {size} if isinstance(size, int) else set(size)
    if len(sides) != 1:
        raise UsageError(f"The model takes pictures of {size} pixels; only square ones are supported.")
    return sides.pop()

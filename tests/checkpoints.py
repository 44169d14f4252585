from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn

from lookalike.models.torch_base.precision import fastest_precision

PICTURES = Path(__file__).parent.parent / "data" / "sample" / "pictures"
WORDS = """\
a red mug, two brown dogs, an old wooden chair, the sea at night, green apples in a bowl, a child on a bicycle,
blue running shoes, a bridge over a river, fresh bread, a cat asleep on a sofa, silver spoons, snow on a mountain,
a yellow taxi, black and white stripes, a garden of roses, an empty street"""
TEXTS = [
    f"{start}{words}"
    for start in ("", "a photo of ", "a small drawing of ", "NOT: ")
    for words in WORDS.replace("\n", " ").split(", ")
]
TINY: dict[str, Any] = {
    "embed_dim": 48,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "patch_size": 16, "head_width": 32},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}

QUICKEST_IS_EXACT = fastest_precision(torch.device("cpu"), nn.Identity()) is torch.float32
"""Whether a network of layer norms runs in float32 here, so that there is no other precision to be compared."""


def pictures(count: int = 64) -> list[Image.Image]:
    paths = sorted(PICTURES.iterdir())
    return [Image.open(path).convert("RGB") for path in paths[:: len(paths) // count][:count]]


def settled(network: nn.Module, encode: Callable[[Tensor], Tensor], inputs: Tensor) -> nn.Module:
    """Set batch norms to the statistics of real pictures; with random weights all pictures would look the same."""
    norms = [layer for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    for layer in norms:
        layer.momentum = 1.0
    network.train()
    with torch.no_grad():
        if norms:
            encode(inputs)
    return network.eval()


def reference(encode: Callable[[Tensor], Tensor], inputs: Tensor) -> NDArray[np.float32]:
    with torch.inference_mode():
        rows = torch.cat([encode(part) for part in torch.split(inputs, 16)])
        return nn.functional.normalize(rows, dim=-1).numpy()


def assert_same_rows(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> None:
    """Same directions within a thousandth, and not because all look alike: each finds its own among all."""
    similar = ours @ theirs.T
    assert float(similar.diagonal().min()) > 0.999
    assert (similar.argmax(axis=1) == np.arange(len(ours))).all()


def save_folder(folder: Path, config: dict[str, Any], **preprocessing: object) -> nn.Module:
    """Save a model of random weights as open_clip saves one for the hub, safetensors only."""
    torch.manual_seed(7)
    kind = open_clip.CustomTextCLIP if config.get("custom_text") else open_clip.CLIP
    network: nn.Module = kind(**{name: value for name, value in config.items() if name != "custom_text"}).eval()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), folder / "open_clip_model.safetensors")
    cfg = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "interpolation": "bicubic", **preprocessing}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": cfg}))
    return network


def save_tokenizer(folder: Path, texts: Sequence[str], *, size: int) -> None:
    """Train a small tokenizer of the kind SigLIP 2 has (byte pairs, spaces marked, an end mark) and save it."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    tokenizer.decoder = decoders.Replace("▁", " ")
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=size, special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", tokenizer.token_to_id("<eos>"))]
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    marks = {f"{name}_token": f"<{name}>" for name in ("pad", "eos", "bos", "unk")}
    facts = {"tokenizer_class": "PreTrainedTokenizerFast", "padding_side": "right", "model_max_length": 64, **marks}
    (folder / "tokenizer_config.json").write_text(json.dumps(facts))

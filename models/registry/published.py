"""Published models with short names: what each is, whose weights it has, and its published accuracy.

Zero-shot accuracy is that of the named source, not measured here: the percentage of ImageNet's 50,000 validation photos
that the model classifies correctly without having been trained on ImageNet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["AUTO_MODEL", "PUBLISHED", "PublishedModel"]

AUTO_MODEL = "clip"
"""The model that "auto" stands for if its weights are on this machine."""

_OPEN_CLIP_RESULTS = "open_clip, docs/openclip_results.csv"
_SIGLIP_2 = "SigLIP 2, arXiv:2502.14786"


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """A model with a short name.

    `megabytes` is the size of its download, `zero_shot` the published zero-shot accuracy on ImageNet in percent (None
    for a model that reads no text), and `source` the publication.
    """

    full_name: str
    summary: str
    megabytes: int
    licence: str
    zero_shot: float | None = None
    source: str = ""


PUBLISHED: Mapping[str, PublishedModel] = MappingProxyType(
    {
        "clip": PublishedModel(
            full_name="open_clip:ViT-B-32-256/datacomp_s34b_b86k",
            summary="CLIP ViT-B/32 at 256 pixels, trained on DataComp: accurate and fast on a CPU; English",
            megabytes=605,
            licence="MIT",
            zero_shot=72.8,
            source=_OPEN_CLIP_RESULTS,
        ),
        "clip-multilingual": PublishedModel(
            full_name="open_clip:ViT-B-16-SigLIP2-256/webli",
            summary="SigLIP 2 B/16: words in many languages; four times the work per picture",
            megabytes=1535,
            licence="Apache-2.0",
            zero_shot=79.1,
            source=_SIGLIP_2,
        ),
        "clip-large": PublishedModel(
            full_name="open_clip:ViT-L-16-SigLIP2-256/webli",
            summary="SigLIP 2 L/16: the most accurate of these, for a GPU; many languages",
            megabytes=3560,
            licence="Apache-2.0",
            zero_shot=82.5,
            source=_SIGLIP_2,
        ),
        "resnet50": PublishedModel(
            full_name="torchvision:resnet50/IMAGENET1K_V2",
            summary="ResNet-50, the 2,048 features before its classifier; pictures only",
            megabytes=98,
            licence="BSD-3-Clause",
        ),
    }
)

"""EfficientNet-Lite0, the picture network of the `compact` model.

EfficientNet: Tan and Le, 2019, arXiv:1905.11946. The Lite variants (Liu, 2020, TensorFlow blog) drop the
squeeze-and-excite blocks and use ReLU6, so that a small processor runs them well.

TensorFlow's "same" padding with stride 2 on an even side adds its odd pixel to the right and bottom, which torch can do
only by copying the whole map. So the picture and every kernel are turned by 180 degrees here: then that pixel is on the
left and top, where torch's symmetric padding has it too. What comes out is averaged over the map, which way up it is.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["CLASS_COUNT", "EARLY_DIM", "FEATURE_DIM", "INPUT_SIZE", "MIDDLE_DIM", "EfficientNetLite0", "Sight"]

INPUT_SIZE = 224
FEATURE_DIM, MIDDLE_DIM, EARLY_DIM = 1280, 192, 40
CLASS_COUNT = 1000

_PIXEL_MEAN, _PIXEL_DEVIATION = 0.498, 0.502
_BATCH_NORM_EPSILON = 1e-3
_STAGES = (
    # kernel, stride of the first block, expansion, channels out, blocks
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


_EARLY_BLOCK, _MIDDLE_BLOCK = 4, 14

_WIDE_AT_ONCE = 4
"""So many pictures go through the blocks up to the early one together on a CPU, as these have the widest maps.

With 16, as many as go through the rest, two threads took 390 MB for their maps, and took more the longer they ran,
since a hole in the heap that a small thing has got into holds no such map again; with 4 they take 144 MB, for the same
numbers and some 4% more of a processor.
"""

_POINTWISE = (  # what torch's own compiler makes of a convolution and what follows it; elsewhere than on x86 untried
    getattr(torch.ops.mkldnn, "_convolution_pointwise", None)
    if torch.backends.mkldnn.is_available() and platform.machine() in ("x86_64", "AMD64")  # type: ignore[no-untyped-call]
    else None
)


class Sight(NamedTuple):
    """What the network makes of n pictures, averaged over each picture, in float32.

    `early` [n, 40] knows texture and colour, `middle` [n, 192] parts, `features` [n, 1280] (0 to 6) things, and
    `scores` [n, 1000] are those of the ImageNet classes (logits).
    """

    early: Tensor
    middle: Tensor
    features: Tensor
    scores: Tensor


class _Convolution(nn.Module):
    """A convolution with padding, its batch normalisation folded in, and perhaps ReLU6.

    On a CPU the ReLU6 is part of the convolution where oneDNN is there: the same numbers, without another pass over
    maps that do not fit into a cache.
    """

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, groups: int = 1, relu: bool = True
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups)
        self.relu = relu

    def forward(self, rows: Tensor) -> Tensor:
        if not self.relu:
            narrow: Tensor = self.convolution(rows)
            return narrow
        if _POINTWISE is None or rows.device.type != "cpu" or rows.dtype != torch.float32:
            return functional.relu6(self.convolution(rows), inplace=True)
        own = self.convolution
        shape = own.padding, own.stride, own.dilation, own.groups
        rows = _POINTWISE(rows, own.weight, own.bias, *shape, "hardtanh", [0.0, 6.0], "")
        return rows


class _Block(nn.Module):
    """An inverted bottleneck: widen (1x1), look around (depthwise), narrow (1x1, linear), add the input if it fits."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = channels_in * expansion
        self.expand = _Convolution(channels_in, width, 1) if expansion > 1 else None
        self.depthwise = _Convolution(width, width, kernel, stride=stride, groups=width)
        self.project = _Convolution(width, channels_out, 1, relu=False)
        self.residual = stride == 1 and channels_in == channels_out

    def forward(self, rows: Tensor) -> Tensor:
        wide = rows if self.expand is None else self.expand(rows)
        narrow: Tensor = self.project(self.depthwise(wide))
        return narrow + rows if self.residual else narrow


class EfficientNetLite0(nn.Module):
    """Pictures in, features and ImageNet class scores out."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Convolution(3, 32, 3, stride=2)
        blocks: list[nn.Module] = []
        channels = 32
        for kernel, first_stride, expansion, channels_out, count in _STAGES:
            for position in range(count):
                stride = first_stride if position == 0 else 1
                blocks.append(_Block(channels, channels_out, kernel, stride, expansion))
                channels = channels_out
        self.blocks = nn.Sequential(*blocks)
        self.head = _Convolution(channels, FEATURE_DIM, 1)
        self.classifier = nn.Linear(FEATURE_DIM, CLASS_COUNT)

    def forward(self, pictures: Tensor) -> Sight:
        """Read pictures: uint8, shape [n, 224, 224, 3], RGB."""
        at_once = _WIDE_AT_ONCE if pictures.device.type == "cpu" else len(pictures)
        rows = torch.cat([self._up_to_early(some) for some in torch.split(pictures, max(at_once, 1))])
        early = _average(rows)
        rows = self.blocks[_EARLY_BLOCK + 1 : _MIDDLE_BLOCK + 1](rows)
        middle = _average(rows)
        rows = self.blocks[_MIDDLE_BLOCK + 1 :](rows)
        features = _average(self.head(rows))
        scores = self.classifier(features.to(self._precision)).float()
        return Sight(early, middle, features, scores)

    def _up_to_early(self, pictures: Tensor) -> Tensor:
        turned = pictures.flip(1, 2).permute(0, 3, 1, 2).to(self._precision)
        rows: Tensor = self.stem(turned.div_(255 * _PIXEL_DEVIATION).sub_(_PIXEL_MEAN / _PIXEL_DEVIATION))
        early: Tensor = self.blocks[: _EARLY_BLOCK + 1](rows)
        return early

    @property
    def _precision(self) -> torch.dtype:
        return self.classifier.weight.dtype

    @classmethod
    def from_checkpoint(cls, checkpoint: Mapping[str, Tensor]) -> EfficientNetLite0:
        """Build the network from the published checkpoint, each batch normalisation folded into its convolution.

        Raises:
            KeyError, RuntimeError: a tensor is missing, left over, or of another shape.
        """
        remaining = {name: tensor for name, tensor in checkpoint.items() if not name.endswith("num_batches_tracked")}
        state: dict[str, Tensor] = {}

        def fold(target: str, convolution: str, norm: str) -> None:
            deviation = torch.sqrt(remaining.pop(f"{norm}.running_var") + _BATCH_NORM_EPSILON)
            scale = remaining.pop(f"{norm}.weight") / deviation
            weight = remaining.pop(f"{convolution}.weight") * scale[:, None, None, None]
            state[f"{target}.convolution.weight"] = weight.flip(2, 3)
            state[f"{target}.convolution.bias"] = (
                remaining.pop(f"{norm}.bias") - remaining.pop(f"{norm}.running_mean") * scale
            )

        network = cls()
        fold("stem", "_conv_stem", "_bn0")
        for index, block in enumerate(network.blocks.children()):
            assert isinstance(block, _Block)
            source, target = f"_blocks.{index}", f"blocks.{index}"
            if block.expand is not None:
                fold(f"{target}.expand", f"{source}._expand_conv", f"{source}._bn0")
            fold(f"{target}.depthwise", f"{source}._depthwise_conv", f"{source}._bn1")
            fold(f"{target}.project", f"{source}._project_conv", f"{source}._bn2")
        fold("head", "_conv_head", "_bn1")
        state["classifier.weight"] = remaining.pop("_fc.weight")
        state["classifier.bias"] = remaining.pop("_fc.bias")
        if remaining:
            raise KeyError(f"tensors that no layer takes: {', '.join(sorted(remaining))}")
        network.load_state_dict(state)
        return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def _average(rows: Tensor) -> Tensor:
    """Average the maps of each picture, [n, channels, height, width], in float32: [n, channels]."""
    return rows.float().mean(dim=(2, 3))

"""EfficientNet-Lite0, the picture network of the `compact` model.

EfficientNet: Tan and Le, 2019, arXiv:1905.11946. The Lite variants (Liu, 2020, TensorFlow blog) omit the
squeeze-and-excite blocks and use ReLU6, so that they run well on small processors.

TensorFlow's "same" padding with stride 2 pads an even side by one more pixel at the right and bottom, which torch can
only do by copying the whole map. So pictures and kernels are rotated by 180 degrees here: the extra pixel is then at
the left and top, where torch's symmetric padding has it, too. The outputs are averages over the map, so its orientation
does not matter.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "CLASS_COUNT",
    "EARLY_DIM",
    "FEATURE_DIM",
    "INPUT_SIZE",
    "MIDDLE_DIM",
    "EfficientNetLite0",
    "NetworkOutput",
]

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

_WIDE_BATCH = 4
"""Number of pictures that pass together, on a CPU, through the blocks up to the early one, which have the widest maps.

With 16, the batch size of the other blocks, two threads took 390 MB for these maps and more over time, because a small
allocation within a freed map keeps the heap from reusing it. With 4 they take 144 MB, for the same results and some 4%
more processor time.
"""

_POINTWISE = (  # torch's fused convolution and activation, as its compiler uses it; only tested on x86
    getattr(torch.ops.mkldnn, "_convolution_pointwise", None)
    if torch.backends.mkldnn.is_available() and platform.machine() in ("x86_64", "AMD64")  # type: ignore[no-untyped-call]
    else None
)


class NetworkOutput(NamedTuple):
    """The network's outputs for n pictures: float32, averaged over each picture.

    `early` [n, 40] describes texture and colour, `middle` [n, 192] parts, `features` [n, 1280] (0 to 6) objects, and
    `scores` [n, 1000] are the logits of the ImageNet classes.
    """

    early: Tensor
    middle: Tensor
    features: Tensor
    scores: Tensor


class _Convolution(nn.Module):
    """A padded convolution with its batch normalisation folded in, optionally followed by ReLU6.

    On a CPU with oneDNN the ReLU6 is fused into the convolution: the same results, without another pass over maps that
    do not fit into the cache.
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
    """An inverted bottleneck: expand (1x1), depthwise convolution, project (1x1, linear); plus the input if it fits."""

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
    """The network: pictures in, features and ImageNet class scores out."""

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

    def forward(self, pictures: Tensor) -> NetworkOutput:
        """Return the outputs for pictures: uint8, shape [n, 224, 224, 3], RGB."""
        batch = _WIDE_BATCH if pictures.device.type == "cpu" else len(pictures)
        rows = torch.cat([self._up_to_early(part) for part in torch.split(pictures, max(batch, 1))])
        early = _average(rows)
        rows = self.blocks[_EARLY_BLOCK + 1 : _MIDDLE_BLOCK + 1](rows)
        middle = _average(rows)
        rows = self.blocks[_MIDDLE_BLOCK + 1 :](rows)
        features = _average(self.head(rows))
        scores = self.classifier(features.to(self._precision)).float()
        return NetworkOutput(early, middle, features, scores)

    def _up_to_early(self, pictures: Tensor) -> Tensor:
        rotated = pictures.flip(1, 2).permute(0, 3, 1, 2).to(self._precision)
        rows: Tensor = self.stem(rotated.div_(255 * _PIXEL_DEVIATION).sub_(_PIXEL_MEAN / _PIXEL_DEVIATION))
        early: Tensor = self.blocks[: _EARLY_BLOCK + 1](rows)
        return early

    @property
    def _precision(self) -> torch.dtype:
        return self.classifier.weight.dtype

    @classmethod
    def from_checkpoint(cls, checkpoint: Mapping[str, Tensor]) -> EfficientNetLite0:
        """Build the network from the published checkpoint; each batch normalisation is folded into its convolution.

        Raises:
            KeyError, RuntimeError: a tensor is missing, left over, or of the wrong shape.
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
            raise KeyError(f"tensors that no layer uses: {', '.join(sorted(remaining))}")
        network.load_state_dict(state)
        return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def _average(rows: Tensor) -> Tensor:
    """Return the average of each map in float32: [n, channels, height, width] to [n, channels]."""
    return rows.float().mean(dim=(2, 3))

"""Which number format a network computes in on a device."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["quick_precision"]


def quick_precision(device: torch.device, network: nn.Module) -> torch.dtype:
    """Give the quickest format that leaves every row within a thousandth (cosine) of where float32 puts it.

    bfloat16 has the range of float32 and rounds to 8 bits, which networks with layer norms bear; through batch norms
    the error adds up to more (ResNet-50: 0.005). So these compute in float16 on CUDA, whose 11 bits suffice, and in
    float32 on a CPU. The others take bfloat16 where the device has matrix units for it: on a CPU that is AMX.
    `models/compact/README.md` has the figures.
    """
    batch_norms = any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in network.modules())
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native and not batch_norms else torch.float16
    return torch.bfloat16 if _has_bfloat16_matrices() and not batch_norms else torch.float32


def _has_bfloat16_matrices() -> bool:
    capabilities = torch.cpu.get_capabilities()
    has_library = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
    return has_library and bool(capabilities.get("amx_tile") and capabilities.get("amx_bf16"))

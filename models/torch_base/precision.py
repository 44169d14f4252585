"""Number formats of the networks, by device."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["fastest_precision"]


def fastest_precision(device: torch.device, network: nn.Module) -> torch.dtype:
    """Return the fastest number format that keeps every row within 0.001 (cosine distance) of its float32 value.

    bfloat16 has the range of float32 with 8 significant bits. Networks with layer norms tolerate it, but batch norms
    accumulate larger errors (ResNet-50: 0.005). So networks with batch norms use float16 on CUDA, whose 11 bits are
    enough, and float32 on a CPU. The others use bfloat16 if the device has matrix units for it, on a CPU those of AMX.
    `models/compact/README.md` has the measurements.
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

"""MiniLM-L6, the text network of the `compact` model, in torch: a six-layer BERT with mean pooling.

BERT: Devlin et al., 2019, arXiv:1810.04805. MiniLM: Wang et al., 2020, arXiv:2002.10957. Mean pooling and training on
sentence pairs: Reimers and Gurevych, 2019, arXiv:1908.10084. The weights are sentence-transformers/all-MiniLM-L6-v2.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from lookalike.models.compact.minilm_numpy import HEADS, LAYERS, NORM_EPSILON, TEXT_DIM

__all__ = ["MiniLM"]

_VOCABULARY, _POSITIONS, _SEGMENTS = 30_522, 512, 2
_HIDDEN_DIM = 1536


class _Linear(nn.Linear):
    """A linear layer whose weights come from a checkpoint: random ones would take a fifth of a second to make."""

    def reset_parameters(self) -> None:
        """Leave the weights as they are."""


class _Embedding(nn.Embedding):
    """A table of vectors from a checkpoint, likewise."""

    def reset_parameters(self) -> None:
        """Leave the vectors as they are."""


class _Layer(nn.Module):
    """One transformer layer, with a layer norm after each of its two halves."""

    def __init__(self) -> None:
        super().__init__()
        self.query_key_value = _Linear(TEXT_DIM, 3 * TEXT_DIM)
        self.attended = _Linear(TEXT_DIM, TEXT_DIM)
        self.attended_norm = nn.LayerNorm(TEXT_DIM, eps=NORM_EPSILON)
        self.widen = _Linear(TEXT_DIM, _HIDDEN_DIM)
        self.narrow = _Linear(_HIDDEN_DIM, TEXT_DIM)
        self.narrow_norm = nn.LayerNorm(TEXT_DIM, eps=NORM_EPSILON)

    def forward(self, words: Tensor, visible: Tensor) -> Tensor:
        count, length, _ = words.shape
        heads = self.query_key_value(words).view(count, length, 3, HEADS, TEXT_DIM // HEADS).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(heads[0], heads[1], heads[2], attn_mask=visible)
        words = self.attended_norm(words + self.attended(mixed.transpose(1, 2).reshape(count, length, TEXT_DIM)))
        changed: Tensor = self.narrow_norm(words + self.narrow(functional.gelu(self.widen(words))))
        return changed


class MiniLM(nn.Module):
    """The network: tokens in, one vector for each text out."""

    def __init__(self) -> None:
        super().__init__()
        self.word = _Embedding(_VOCABULARY, TEXT_DIM)
        self.position = _Embedding(_POSITIONS, TEXT_DIM)
        self.segment = _Embedding(_SEGMENTS, TEXT_DIM)
        self.norm = nn.LayerNorm(TEXT_DIM, eps=NORM_EPSILON)
        self.layers = nn.ModuleList(_Layer() for _ in range(LAYERS))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return the mean of each text's token vectors: float32, shape [n, 384], not normalised.

        Args:
            tokens: int64, shape [n, length].
            mask: bool, shape [n, length]; False where a short text is padded.
        """
        words = self.norm(self.word(tokens) + self.segment.weight[0] + self.position.weight[: tokens.shape[1]])
        visible = mask[:, None, None, :]
        for layer in self.layers:
            words = layer(words, visible)
        weights = mask[:, :, None].float()
        average: Tensor = (words.float() * weights).sum(dim=1) / weights.sum(dim=1)
        return average

    @classmethod
    def from_checkpoint(cls, checkpoint: Mapping[str, Tensor]) -> MiniLM:
        """Build the network from the tensors of the published checkpoint; its unused pooler is left out.

        Raises:
            KeyError, RuntimeError: a tensor is missing, left over, or of the wrong shape.
        """
        unused = ("pooler.", "embeddings.position_ids")
        remaining = {name: tensor for name, tensor in checkpoint.items() if not name.startswith(unused)}
        state: dict[str, Tensor] = {}

        def take(target: str, *sources: str) -> None:
            for kind in ("weight", "bias"):
                state[f"{target}.{kind}"] = torch.cat([remaining.pop(f"{source}.{kind}") for source in sources])

        for target, source in (("word", "word"), ("position", "position"), ("segment", "token_type")):
            state[f"{target}.weight"] = remaining.pop(f"embeddings.{source}_embeddings.weight")
        take("norm", "embeddings.LayerNorm")
        for index in range(LAYERS):
            source, target = f"encoder.layer.{index}", f"layers.{index}"
            attention = f"{source}.attention"
            take(f"{target}.query_key_value", *(f"{attention}.self.{part}" for part in ("query", "key", "value")))
            take(f"{target}.attended", f"{attention}.output.dense")
            take(f"{target}.attended_norm", f"{attention}.output.LayerNorm")
            take(f"{target}.widen", f"{source}.intermediate.dense")
            take(f"{target}.narrow", f"{source}.output.dense")
            take(f"{target}.narrow_norm", f"{source}.output.LayerNorm")
        if remaining:
            raise KeyError(f"tensors that no layer uses: {', '.join(sorted(remaining))}")
        network = cls()
        network.load_state_dict(state, assign=True)
        return network.eval().requires_grad_(False)

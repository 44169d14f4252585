"""The weights that read texts, and the rows of a few short ones, in NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from safetensors.numpy import load as load_safetensors
from tokenizers import Tokenizer

from lookalike.models.blas_threads import one_blas_thread
from lookalike.models.compact.figures import CompactFigures
from lookalike.models.compact.minilm_numpy import TEXT_DIM, NumpyMiniLM, read_tokenizer
from lookalike.models.registry.spec import KnownModel
from lookalike.models.vectors import Matrix
from lookalike.models.weights.packaged import read_weights

__all__ = ["TextWeights"]


@dataclass(frozen=True)
class TextWeights:
    """The checkpoint of the text network, its tokenizer, and the figures that turn its vectors into rows."""

    checkpoint: Mapping[str, Matrix]
    tokenizer: Tokenizer
    figures: CompactFigures[Matrix]

    @classmethod
    def read(cls, known: KnownModel) -> TextWeights:
        """Read the files of a model.

        Raises:
            WeightsUnavailable: a file is missing or has another hash than expected.
        """
        return cls(
            load_safetensors(read_weights(known.files["texts"])),
            read_tokenizer(read_weights(known.files["tokenizer"])),
            CompactFigures.from_bytes(read_weights(known.files["figures"])),
        )

    @cached_property
    def _network(self) -> NumpyMiniLM:
        return NumpyMiniLM(self.checkpoint)

    def vectors(self, texts: Sequence[str]) -> Matrix:
        """Return the vectors of texts, float32 [n, 384], not normalised; the network reads them one after another."""
        encodings = self.tokenizer.encode_batch_fast(list(texts))
        with one_blas_thread():
            rows = [self._network.vector(encoding.ids) for encoding in encodings]
        return np.stack(rows) if rows else np.empty((0, TEXT_DIM), np.float32)

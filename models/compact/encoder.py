"""`compact`, the model that needs no download: pictures by EfficientNet-Lite0, texts by MiniLM-L6.

The row of a picture has three parts, [visual | semantic | colour], so that one inner product serves pictures and texts:

- visual, 256: outputs of the picture network at three depths, projected.
- semantic, 245: the subject in words, from the ImageNet classes and the captioned drawings that the picture resembles
  (`models/compact/picture_rows.py`).
- colour, 11: the share of each basic colour.

The row of a text has no visual part; its colour part has the colours it names. `models/compact/README.md` describes how
these choices were made and what each of them contributes; `models/training/make_compact.py` makes the figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image

from lookalike.data.garbage_collection import collector_paused
from lookalike.models.base import FEW_CHARACTERS, ModelSpec, Prepared
from lookalike.models.compact.short_texts import TextWeights
from lookalike.models.compact.text_rows import text_rows
from lookalike.models.lazy import Lazy
from lookalike.models.registry.spec import KnownModel
from lookalike.models.vectors import Matrix, unit_rows

if TYPE_CHECKING:
    from lookalike.models.compact.networks import CompactNetworks

__all__ = ["CompactEncoder", "load_compact"]


class CompactEncoder:
    """The encoder of `compact`. Short texts are read in NumPy, everything else by the networks in torch.

    torch is imported when the first picture or long text comes, or at once if `device` is neither "auto" nor "cpu". On
    a GPU that was asked for by name, the networks read short texts too.
    """

    def __init__(self, known: KnownModel, *, device: str) -> None:
        self._spec = known.spec
        self._on_cpu = device in ("auto", "cpu")
        self.text_weights = Lazy(lambda: TextWeights.read(known))

        def load() -> CompactNetworks:
            with collector_paused():
                from lookalike.models.compact.networks import load_networks
            return load_networks(known, self.text_weights, device=device)

        self._networks = Lazy(load)
        if not self._on_cpu:
            self._networks.get()

    @property
    def spec(self) -> ModelSpec:
        """The model's description."""
        return self._spec

    @property
    def networks(self) -> CompactNetworks:
        """The networks in torch."""
        return self._networks.get()

    @property
    def shares_processors(self) -> bool:
        """Whether the model runs on the same processors that load pictures, rather than on a GPU."""
        return self.networks.shares_processors

    def use_threads(self, count: int) -> None:
        """Run on `count` processors from now on when called from the current thread."""
        self.networks.use_threads(count)

    def prepare(self, image: Image.Image) -> Prepared:
        """Trim the plain background around an object and fit it into a square: uint8 [224, 224, 3]."""
        return self.networks.prepare(image)

    def encode_prepared(self, batch: Sequence[Prepared]) -> Matrix:
        """Encode prepared pictures as unit float32 rows, shape [len(batch), 512]."""
        return self.networks.encode_prepared(batch)

    def encode_images(self, images: Sequence[Image.Image]) -> Matrix:
        """Encode RGB pictures as unit float32 rows, shape [len(images), 512]."""
        return self.networks.encode_images(images)

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Encode descriptions of pictures as unit float32 rows in the space of pictures, shape [len(texts), 512]."""
        return self.encode_texts_and_titles(texts)[0]

    def encode_texts_and_titles(self, texts: Sequence[str]) -> tuple[Matrix, Matrix]:
        """Return what `encode_texts` and `encode_titles` return, from one run of the text network."""
        if not self._are_few(texts):
            return self.networks.encode_texts_and_titles(texts)
        weights = self.text_weights.get()
        vectors = weights.vectors(texts)
        return unit_rows(text_rows(texts, vectors, weights.figures, self._spec.dim)), unit_rows(vectors)

    def encode_titles(self, texts: Sequence[str]) -> Matrix:
        """Encode texts for comparison with other texts, as unit float32 rows of shape [len(texts), 384]."""
        if not self._are_few(texts):
            return self.networks.encode_titles(texts)
        return unit_rows(self.text_weights.get().vectors(texts))

    def notices_about(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Return notices about texts that are not read as written; there are none."""
        return ()

    def _are_few(self, texts: Sequence[str]) -> bool:
        return self._on_cpu and sum(map(len, texts)) <= FEW_CHARACTERS


def load_compact(known: KnownModel, *, device: str = "auto") -> CompactEncoder:
    """Return the encoder; its weights are read when the first picture or text comes.

    Raises:
        UsageError: this machine has no such device.
    """
    return CompactEncoder(known, device=device)

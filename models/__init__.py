"""Pictures and texts in, unit float32 rows out."""

from __future__ import annotations

from models.base import Encoder, Modality, ModelSpec, Prepared
from models.load import load_encoder
from models.vectors import Matrix, unit_rows

__all__ = ["Encoder", "Matrix", "Modality", "ModelSpec", "Prepared", "load_encoder", "unit_rows"]

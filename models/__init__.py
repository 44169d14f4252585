"""Pictures and texts in, unit float32 rows out."""

from __future__ import annotations

from models.base import Encoder, Modality, ModelSpec, Prepared
from models.load import Choice, choose_model, full_name, load_encoder, local_weights
from models.vectors import Matrix, unit_rows

__all__ = [
    "Choice",
    "Encoder",
    "Matrix",
    "Modality",
    "ModelSpec",
    "Prepared",
    "choose_model",
    "full_name",
    "load_encoder",
    "local_weights",
    "unit_rows",
]

"""Encoders: pictures and texts in, unit float32 rows out."""

from __future__ import annotations

from lookalike.models.base import Encoder, Modality, ModelSpec, Prepared
from lookalike.models.load import Choice, choose_model, full_name, load_encoder, local_weights
from lookalike.models.vectors import Matrix, unit_rows

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

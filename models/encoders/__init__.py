"""Encoders of models from open_clip, timm and torchvision."""

"""Encoders of other libraries: open_clip, timm and torchvision."""

"""Boxes around objects: torchvision's detectors on timm's backbones, their training, their metric and their use."""

"""The WordNet hierarchy of ImageNet-21K: its facts, its levels and its table."""

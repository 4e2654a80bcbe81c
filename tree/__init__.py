"""The WordNet hierarchy of ImageNet-21K: its packaged data, its levels and its table."""

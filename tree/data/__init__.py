"""Package data: WordNet 3.0's nouns, ImageNet's primary parents, the published class lists, and the explorer."""

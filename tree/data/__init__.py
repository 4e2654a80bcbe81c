"""WordNet 3.0's noun hypernyms and ImageNet's primary parents, as package data."""

"""What `evaluate --output` writes about a model's answers: their curve, and their errors by subtree."""

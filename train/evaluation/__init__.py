"""Metrics, the pass over the val split, and the scores of a model."""

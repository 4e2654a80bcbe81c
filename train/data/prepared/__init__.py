"""Datasets that `in21k-prep` made: their shards, read, parsed and cached."""

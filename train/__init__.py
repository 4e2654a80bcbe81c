"""Pretraining of vision backbones on a prepared dataset."""

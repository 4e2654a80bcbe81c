"""Copies of a picture: those within a dataset, and those between it and other sets of images."""

"""Bytes to pixels to augmented pixels."""

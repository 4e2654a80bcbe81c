"""A small raw dump, drawn."""

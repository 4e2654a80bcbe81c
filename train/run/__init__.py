"""A run on disk: its folder, resolved settings, checkpoints and curves."""

"""The coded checks of a prepared dataset, one file per subject."""

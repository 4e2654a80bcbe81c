"""The losses of the training schemes."""

"""The probability of every class in the hierarchy, and the path that a model answers with."""

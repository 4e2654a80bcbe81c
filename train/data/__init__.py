"""Training data, whatever they lie in, and which process reads which sample."""

"""The network, its weights, and the file that keeps them."""

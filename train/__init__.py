"""From a prepared dataset to a trained network, and what it is used for: the command `in21k-train`."""

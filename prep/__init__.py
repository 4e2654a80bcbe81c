"""From a raw dump to a prepared dataset: the command `in21k-prep`."""

"""Images that in21k-prep did not prepare, as training data: a file a kind of source."""

"""Other people's datasets, as downloaded."""

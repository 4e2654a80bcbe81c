"""What a prepared dataset is: its shards, manifest and tables, and the checks of `verify`."""

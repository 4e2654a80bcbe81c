"""What a prepared dataset is: shards, manifest, tables, and how they are checked."""

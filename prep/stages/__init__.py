"""The pipeline from dump to dataset: filter, split, resize, shard, and the files that they pass on."""

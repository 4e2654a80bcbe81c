"""The stages of the pipeline: filter, split, resize, shard."""

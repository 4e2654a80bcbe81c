"""From a raw ImageNet-21K dump to shards: filter, split, resize, shard."""

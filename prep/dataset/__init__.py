"""Commands on a finished dataset: verify, repair, compare, inspect, list its rejects."""

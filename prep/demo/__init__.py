"""A small raw dump of drawn pictures, to try everything without ImageNet."""

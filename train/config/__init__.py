"""Settings: what they are, their ranges, how they are overridden."""

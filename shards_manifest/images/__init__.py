"""The one place that opens image bytes: what they are, how large they are, and their pixels."""

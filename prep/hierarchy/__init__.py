"""The hierarchy table on its own, and the report."""

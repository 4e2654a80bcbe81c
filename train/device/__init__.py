"""What a process computes on: its rank, its precision, its backend."""

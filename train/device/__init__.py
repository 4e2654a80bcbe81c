"""What a rank computes on: its device, its precision, the other ranks."""

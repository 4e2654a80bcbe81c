"""The training session and its loop."""

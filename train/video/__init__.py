"""Video files: which frame they show at a time, and clips of frames at a stated rate."""

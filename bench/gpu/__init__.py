"""The checks of `gpu_check.py`: what only a GPU shows, run in the same way on a CPU."""

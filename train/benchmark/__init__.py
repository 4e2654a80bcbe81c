"""A list of downstream tasks over one or several checkpoints: run, resumed, and put into one table."""

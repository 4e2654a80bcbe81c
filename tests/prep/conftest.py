"""What tests of the pipeline share."""

import pytest

from in21k.prep.stages import resize, shard


@pytest.fixture
def inline(monkeypatch):
    """Let the commands do their workers' tasks within this process: starting workers is what takes time here."""
    for stage in (resize, shard):
        monkeypatch.setattr(stage, "run_tasks", lambda function, tasks, workers: map(function, tasks))

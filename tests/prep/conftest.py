"""What tests of the pipeline share."""

import pytest

from in21k.prep.stages import resize, shard


@pytest.fixture
def inline(monkeypatch):
    """Run the workers' tasks within this process, since starting workers would take most of the time."""
    for stage in (resize, shard):
        monkeypatch.setattr(stage, "run_tasks", lambda function, tasks, workers: map(function, tasks))

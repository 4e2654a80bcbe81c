import pytest
from kills import endure


@pytest.mark.guard
def test_a_run_survives_thirty_random_kills(tmp_path):
    assert endure(tmp_path, kills=30, seed=0)["kills"] == 30

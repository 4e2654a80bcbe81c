import pytest
from kills import endure


@pytest.mark.guard
def test_a_run_survives_thirty_random_kills(tmp_path):
    assert endure(tmp_path, kills=30, seed=0)["kills"] == 30


@pytest.mark.guard
def test_a_run_on_mixed_shards_survives_ten_random_kills(tmp_path):
    assert endure(tmp_path, kills=10, seed=1, mixed=True)["kills"] == 10

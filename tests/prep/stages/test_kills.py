import pytest
from kills import endure


@pytest.mark.parametrize(
    ("kills", "seed"), [pytest.param(8, 0, marks=pytest.mark.guard), pytest.param(30, 2, marks=pytest.mark.slow)]
)
def test_a_run_survives_random_kills(tmp_path, kills, seed):
    assert endure(tmp_path, kills=kills, seed=seed)["kills"] == kills


@pytest.mark.parametrize(
    ("kills", "seed"), [pytest.param(4, 1, marks=pytest.mark.guard), pytest.param(10, 3, marks=pytest.mark.slow)]
)
def test_a_run_on_mixed_shards_survives_random_kills(tmp_path, kills, seed):
    assert endure(tmp_path, kills=kills, seed=seed, mixed=True)["kills"] == kills

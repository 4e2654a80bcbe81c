import numpy as np
import pytest
from commands import RefusedError, call

from in21k.tree.errors import TreeError
from in21k.tree.hierarchy import MOST_LEVELS, Hierarchy


def chain(length):
    return Hierarchy(tuple(f"c{at}" for at in range(length)), np.arange(-1, length - 1, dtype=np.int32))


def test_a_chain_is_as_long_as_the_bound_and_no_longer():
    assert chain(MOST_LEVELS).num_levels == MOST_LEVELS
    with pytest.raises(TreeError, match="c256 has 256 ancestors; a hierarchy has at most 256 levels"):
        _ = chain(MOST_LEVELS + 1).ancestors


def test_a_chain_of_edges_that_is_too_long_is_one_line(tmp_path):
    edges = tmp_path / "edges.csv"
    edges.write_text("child,parent\n" + "".join(f"c{at + 1},c{at}\n" for at in range(8000)))
    with pytest.raises(RefusedError, match=r"has \d+ ancestors; a hierarchy has at most 256 levels"):
        call("tree", "--edges", edges, "--output", tmp_path / "h.parquet")

import pytest

from in21k.shards_manifest.errors import one_line


@pytest.mark.parametrize(
    ("problem", "longest", "line"),
    [
        (ValueError("two\n  lines"), 200, "two lines"),
        (ValueError("x" * 300), 200, "x" * 200),
        ("x" * 300, None, "x" * 300),
        (MemoryError(), 200, "MemoryError"),
        ("", 200, ""),
    ],
)
def test_a_problem_is_put_on_one_line(problem, longest, line):
    assert one_line(problem, longest) == line

import numpy as np

from in21k.tree.compare import compare_class_order, compare_hierarchies, moved_classes
from in21k.tree.hierarchy import Hierarchy


def hierarchy(**parents):
    names = list(parents)
    return Hierarchy(tuple(names), np.array([names.index(up) if up else -1 for up in parents.values()], np.int32))


def codes(findings):
    return [(finding.code.value, finding.subject) for finding in findings]


def test_equal_hierarchies_have_no_differences():
    assert compare_hierarchies(hierarchy(a=None, b="a"), hierarchy(a=None, b="a")) == []


def test_class_lists_differ_in_classes_and_in_order():
    assert codes(compare_class_order(["a", "b", "c"], ["b", "a", "d"])) == [
        ("W712", "c"),
        ("W713", "d"),
        ("W711", "a"),
        ("W711", "b"),
    ]


def test_parents_are_compared_by_name_not_by_index():
    ours, theirs = hierarchy(a=None, b="a", c="b"), hierarchy(b="a", a=None, c="a")
    findings = compare_hierarchies(ours, theirs)
    assert codes(findings) == [("W711", "a"), ("W711", "b"), ("W714", "c")]
    assert findings[-1].message == "parent b here, a there"


def test_moved_classes_are_counted_by_their_level_before():
    before, after = hierarchy(a=None, b="a", c="b", d="c"), hierarchy(a=None, b=None, c="b", d="c")
    parents, levels = moved_classes(before, after)
    assert parents.tolist() == [0, 1, 0, 0]
    assert levels.tolist() == [0, 1, 1, 1]

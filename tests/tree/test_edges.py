import pytest
from hypothesis import given
from hypothesis import strategies as st

from in21k.tree.class_names import edge_class_names
from in21k.tree.edges import edge_hierarchy, edges_of, read_edges
from in21k.tree.errors import FindingsError, TreeError
from in21k.tree.findings import count_codes
from in21k.tree.hierarchy import ROOT
from in21k.tree.table import named_table


def write(tmp_path, text: str | bytes):
    path = tmp_path / "edges.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refusal(rows, classes=None):
    with pytest.raises(FindingsError) as caught:
        edge_hierarchy(edges_of(rows, "e.csv"), classes)
    return caught.value


def parents_by_name(hierarchy):
    return {
        name: None if parent == ROOT else hierarchy.wnids[parent]
        for name, parent in zip(hierarchy.wnids, hierarchy.parents.tolist(), strict=True)
    }


def test_all_names_in_the_file_become_classes_in_sorted_order():
    hierarchy, findings = edge_hierarchy(edges_of([("samoyed", "dog"), ("dog", "animal"), ("cat", "animal")], "e"))
    assert hierarchy.wnids == ("animal", "cat", "dog", "samoyed")
    assert hierarchy.levels.tolist() == [0, 1, 1, 2]
    assert findings == ()


def test_a_class_list_sets_the_order_and_skips_unlisted_names():
    edges = edges_of([("samoyed", "dog"), ("dog", "animal"), ("cat", "animal")], "e")
    hierarchy, _ = edge_hierarchy(edges, ["samoyed", "animal", "cat"])
    assert parents_by_name(hierarchy) == {"samoyed": "animal", "animal": None, "cat": "animal"}


def test_the_first_of_several_parents_is_kept_and_reported():
    hierarchy, findings = edge_hierarchy(edges_of([("bat", "mammal"), ("bat", "flyer")], "e"))
    assert parents_by_name(hierarchy)["bat"] == "mammal"
    assert [(finding.code.value, finding.subject) for finding in findings] == [("W702", "bat"), ("W704", "flyer")]


def test_an_orphan_is_a_class_without_parent_or_children():
    _, findings = edge_hierarchy(edges_of([("a", "x"), ("b", "x"), ("root", "")], "e"), ["a", "b", "root", "x"])
    assert [(finding.code.value, finding.subject) for finding in findings] == [("W704", "root")]


def test_a_repeated_edge_does_not_add_a_parent():
    hierarchy, findings = edge_hierarchy(edges_of([("a", "x"), ("a", "x")], "e"))
    assert count_codes(findings) == {"W707": 1}
    assert len(hierarchy) == 2


@pytest.mark.parametrize(
    ("rows", "classes", "code", "words"),
    [
        ([("a", "b"), ("b", "c"), ("c", "a")], None, "E701", "a cycle of 3: a > b > c > a"),
        ([("a", "a")], None, "E701", "a > a"),
        ([("tail", "a"), ("a", "b"), ("b", "a")], None, "E701", "a cycle of 2: a > b > a"),
        ([("a", "b")], ["a", "fox"], "E703", "fox"),
        ([("a", "b"), ("", "c")], None, "E705", "row 3"),
        ([("a", "b", "c")], None, "E705", "3 fields"),
        ([("a", "b")], ["a", "b", "a"], "E706", "a: the class list"),
    ],
)
def test_an_error_has_a_code_and_names_its_row_or_class(rows, classes, code, words):
    error = refusal(rows, classes)
    assert str(error).startswith(f"e.csv: {code} ")
    assert words in str(error)
    assert [finding.code.value for finding in error.findings if finding.is_error] == [code]


def test_the_message_shows_the_first_error_and_counts_the_rest():
    error = refusal([("a", "a"), ("b", "b"), ("c", "c"), ("d", "x"), ("d", "y")])
    assert str(error) == "e.csv: E701 a: a cycle of 1: a > a (2 more errors; --json lists all)"
    assert count_codes(error.findings) == {"E701": 3, "W702": 1}


@pytest.mark.parametrize(
    ("length", "shown"),
    [(8, "n0 > n1 > n2 > n3 > n4 > n5 > n6 > n7 > n0"), (9, "n0 > n1 > n2 > n3 > n4 > n5 > n6 > … > n0")],
)
def test_up_to_eight_nodes_of_a_cycle_are_shown(length, shown):
    ring = [(f"n{at}", f"n{(at + 1) % length}") for at in range(length)]
    assert str(refusal(ring)).endswith(f"a cycle of {length}: {shown}")


def test_a_long_cycle_is_abbreviated():
    ring = [(f"node{i}", f"node{(i + 1) % 5000}") for i in range(5000)]
    assert len(str(refusal(ring))) < 200


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")), max_size=12))
def test_any_edges_give_a_forest_or_an_error_about_a_real_cycle(rows):
    edges = edges_of(rows, "e")
    first = {child: above[0] for child, above in edges.parents.items() if above}

    def climbs_out(node):
        for _ in range(7):
            node = first.get(node)
        return node is None

    if all(map(climbs_out, edges.nodes)):
        hierarchy, _ = edge_hierarchy(edges)
        assert parents_by_name(hierarchy) == {node: first.get(node) for node in edges.nodes}
    else:
        assert {found.code.value for found in refusal(rows).findings if found.is_error} == {"E701"}


def test_a_csv_with_quotes_spaces_and_a_byte_order_mark_is_read(tmp_path):
    edges = read_edges(write(tmp_path, '\ufeffChild, Parent\r\n"cat, tabby", cat \r\n\r\ncat,\n'))
    assert edges.parents == {"cat, tabby": ("cat",), "cat": ()}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "first line must be child,parent"),
        ("dog,animal\n", "first line must be child,parent"),
        ("child,parent\n", "has no edges"),
        (b"child,parent\n\xff,x\n", "not a CSV"),
        ("child,parent\n" + "x" * 200_000 + ",y\n", "not a CSV"),
    ],
)
def test_a_file_that_is_not_an_edge_list_is_rejected_by_name(tmp_path, content, words):
    with pytest.raises(TreeError, match=words) as caught:
        read_edges(write(tmp_path, content))
    assert "edges.csv" in str(caught.value)


def test_the_table_of_edges_names_its_source_and_all_parents():
    edges = edges_of([("n02084071", "pet"), ("n02084071", "animal"), ("fox", "animal")], "mine.csv")
    hierarchy, _ = edge_hierarchy(edges)
    table = named_table(hierarchy, edge_class_names(hierarchy.wnids, edges.parents, edges.name))
    rows = {row["wnid"]: row for row in table.to_pylist()}
    assert rows["n02084071"]["name"] == "dog"
    assert rows["n02084071"]["wordnet_parents"] == ["pet", "animal"]
    assert rows["fox"]["path_names"] == "animal > fox"
    assert (table.schema.metadata[b"in21k.source"], table.schema.metadata[b"in21k.parents"]) == (b"mine.csv", b"first")


def test_a_finding_names_ten_parents_at_most():
    finding = edges_of([("child", f"parent {number}") for number in range(1000)], "edges.csv").findings[0]
    assert finding.message.startswith("1000 parents, the first one is kept: parent 0, parent 1, ")
    assert finding.message.endswith(" parent 9, 990 more")

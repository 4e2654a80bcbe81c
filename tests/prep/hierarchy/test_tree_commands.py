import json

import pandas as pd
import pyarrow.parquet as pq
import pytest
from commands import RefusedError, call, one_line, prep

EDGES = "child,parent\nsamoyed,dog\ndog,animal\ncat,animal\ncat,pet\nlone,\n"


@pytest.fixture
def edges(tmp_path):
    (tmp_path / "edges.csv").write_text(EDGES)
    return tmp_path / "edges.csv"


@pytest.fixture
def wnids(tmp_path):
    (tmp_path / "wnids.txt").write_text("n00015388\nn01317541\nn02084071\n")
    return tmp_path / "wnids.txt"


@pytest.fixture
def output(tmp_path):
    return tmp_path / "h.parquet"


def codes(summary):
    return [(found["code"], found["subject"]) for found in summary["findings"]]


def test_published_lists_are_known_by_name(output):
    summary = call("tree", "fall11-p", "--output", output, "--compare", "winter21-p")
    assert summary["classes_per_level"] == [302, 1378, 2100, 2605, 2204, 1371, 716, 290, 146, 82, 26, 1]
    assert summary["compared_with"] == "winter21-p: 2,055 W711, 771 W712"
    assert len(summary["findings"]) == 2055 + 771


def test_the_first_findings_are_printed_and_the_rest_counted(output):
    run = prep("tree", "fall11-p", "--output", output, "--compare", "winter21-p")
    assert run.returncode == 0, run.stderr
    assert "findings: 2,055 W711, 771 W712" in run.stdout
    assert "  and 2,806 more; --json lists all\nnext: in21k-prep report fall11-p\n" in run.stdout
    assert len(run.stdout.splitlines()) < 40


def test_edges_make_the_table_of_any_label_set_with_findings(output, edges):
    assert codes(call("tree", "--edges", edges, "--output", output)) == [
        ("W702", "cat"),
        ("W704", "lone"),
        ("W704", "pet"),
    ]
    assert pd.read_parquet(output).set_index("wnid").loc["samoyed", "path_names"] == "animal > dog > samoyed"


def test_a_class_list_selects_from_the_edges(tmp_path, output, edges):
    (tmp_path / "classes.txt").write_text("samoyed\nanimal\n")
    call("tree", tmp_path / "classes.txt", "--edges", edges, "--output", output)
    assert pq.read_table(output)["wnid"].to_pylist() == ["samoyed", "animal"]


def test_errors_in_edges_are_one_line_and_all_of_them_in_json(output, edges):
    edges.write_text("child,parent\na,b\nb,a\nc,c\n")
    line = one_line(prep("tree", "--edges", edges, "--output", output))
    assert line.endswith("edges.csv: E701 a: a cycle of 2: a > b > a (1 more error; --json lists all)")
    run = prep("tree", "--edges", edges, "--output", output, "--json")
    assert run.returncode == 1
    assert codes(json.loads(run.stdout)) == [("E701", "a"), ("E701", "c")]
    assert not output.exists()


def test_a_rule_is_compared_with_the_table_of_another(tmp_path, output, wnids):
    call("tree", wnids, "--output", tmp_path / "published.parquet")
    arguments = ("--parents", "wordnet-first", "--compare", tmp_path / "published.parquet")
    summary = call("tree", wnids, "--output", output, *arguments)
    assert codes(summary) == [("W714", "n02084071")]
    assert summary["findings"][0]["message"] == "parent n00015388 here, n01317541 there"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "SOURCE is missing"),
        (("no-such-thing",), "no-such-thing does not exist"),
        (("fall11-p", "--edges", "nothing.csv"), "nothing.csv"),
    ],
)
def test_a_missing_source_is_named(output, arguments, words):
    with pytest.raises(RefusedError, match=words):
        call("tree", *arguments, "--output", output)
    assert not output.exists()


def test_a_folder_without_a_dataset_is_not_a_source(tmp_path, output):
    with pytest.raises(RefusedError, match="is a folder without a finished dataset"):
        call("tree", tmp_path, "--output", output)


def test_a_missing_file_to_compare_with_is_named(output, wnids):
    with pytest.raises(RefusedError, match=r"nothing\.pth: no such file to compare with"):
        call("tree", wnids, "--compare", "nothing.pth", "--output", output)


def test_a_pickle_to_compare_with_that_calls_something_is_rejected(tmp_path, output, wnids):
    (tmp_path / "tree.pth").write_bytes(b"\x80\x02cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(RefusedError, match=r"tree\.pth contains os\.system"):
        call("tree", wnids, "--compare", tmp_path / "tree.pth", "--output", output)


def test_a_dataset_keeps_its_counts_in_a_new_table(output, dataset):
    call("tree", dataset.out, "--parents", "shortest", "--output", output)
    columns = ["wnid", "images_train", "images_val"]
    assert pq.read_table(output, columns=columns).equals(
        pq.read_table(dataset.out / "hierarchy.parquet", columns=columns)
    )


def test_classes_are_mapped_to_those_of_another_list(tmp_path, wnids):
    output = tmp_path / "map.csv"
    summary = call("tree", wnids, "--map-to", "in1k", "--output", output)
    assert (summary["classes"], summary["targets"], summary["descendant"], summary["same"]) == (3, 1000, 3, 0)
    rows = pd.read_csv(output).set_index("wnid")
    assert rows.loc["n02084071", ["name", "relation", "target_wnid"]].tolist() == ["dog", "descendant", "n02110341"]
    first = output.read_bytes()
    call("tree", wnids, "--map-to", "in1k", "--output", output)
    assert output.read_bytes() == first


def test_labels_of_an_edge_list_are_mapped_too(tmp_path, edges):
    (tmp_path / "targets.txt").write_text("animal\n")
    call("tree", "--edges", edges, "--map-to", tmp_path / "targets.txt", "--output", tmp_path / "map.csv")
    rows = pd.read_csv(tmp_path / "map.csv").set_index("wnid")
    assert rows["relation"].to_dict() == {
        "animal": "same",
        "cat": "ancestor",
        "dog": "ancestor",
        "lone": "none",
        "pet": "none",
        "samoyed": "ancestor",
    }
    assert rows.loc["samoyed", "steps"] == 2


def test_a_map_replaces_no_other_file(tmp_path, wnids):
    output = tmp_path / "notes.csv"
    output.write_text("mine\n")
    with pytest.raises(RefusedError, match=r"notes\.csv exists and is not a class map"):
        call("tree", wnids, "--map-to", "in1k", "--output", output)
    assert output.read_text() == "mine\n"

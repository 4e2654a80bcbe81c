import builtins
import collections
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from in21k.tree.class_names import wordnet_class_names
from in21k.tree.compare import compare_hierarchies
from in21k.tree.errors import TreeError
from in21k.tree.hierarchy import ROOT
from in21k.tree.parents import ParentRule, primary_parents
from in21k.tree.reference_tree import read_reference_tree
from in21k.tree.table import wordnet_hierarchy

WNIDS = ["n00015388", "n01317541", "n02084071", "n02111626", "n02111889", "n09450163"]
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


def authors_tree(wnids=WNIDS):
    """Return the content of the authors' file, for a few classes."""
    hierarchy = wordnet_hierarchy(wnids)
    parent = primary_parents()
    return {
        "class_list": list(wnids),
        "child_2_parent": {wnid: parent(wnid) for wnid in wnids if parent(wnid)},
        "class_tree_list": [list(hierarchy.path(i))[::-1] for i in range(len(wnids))],
        "class_description": dict(zip(wnids, wordnet_class_names(wnids, ParentRule.PUBLISHED).names, strict=True)),
    }


def write_zip(path, content, protocol=2):
    """Write a file like torch.save since torch 1.6, without torch."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content if isinstance(content, bytes) else pickle.dumps(content, protocol))
        archive.writestr("archive/version", "3\n")
    return path


def write_legacy(path, content):
    system = {"protocol_version": PROTOCOL, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    parts = (MAGIC, PROTOCOL, system, content, [])
    path.write_bytes(b"".join(pickle.dumps(part, 2) for part in parts))
    return path


def check(tree):
    assert tree.hierarchy.wnids == tuple(WNIDS)
    assert tree.hierarchy.parents.tolist() == [ROOT, 0, 1, 2, 3, ROOT]
    assert tree.names["n02111889"] == "Samoyed"
    assert tree.parents["n02111889"] == "n02111626"
    assert compare_hierarchies(wordnet_hierarchy(WNIDS), tree.hierarchy) == []


@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_the_authors_layout_is_read(tmp_path, write):
    check(read_reference_tree(write(tmp_path / "tree.pth", authors_tree())))


@pytest.mark.parametrize("new_format", [True, False])
def test_what_torch_saves_is_read(tmp_path, new_format):
    torch = pytest.importorskip("torch")
    torch.save(authors_tree(), tmp_path / "tree.pth", _use_new_zipfile_serialization=new_format)
    check(read_reference_tree(tmp_path / "tree.pth"))


@pytest.mark.parametrize("protocol", range(6))
def test_every_pickle_protocol_is_read(tmp_path, protocol):
    check(read_reference_tree(write_zip(tmp_path / "tree.pth", authors_tree(), protocol)))


@pytest.mark.parametrize("protocol", [2, 4])
def test_arrays_and_ordered_and_default_dicts_are_read_as_plain_containers(tmp_path, protocol):
    fields = authors_tree()
    fields["class_list"] = np.array(WNIDS, object if protocol == 2 else None)
    fields["class_description"] = collections.OrderedDict(fields["class_description"])
    fields["child_2_parent"] = collections.defaultdict(list, fields["child_2_parent"])
    fields["class_tree_list"] = [np.array(chain) for chain in fields["class_tree_list"]]
    fields["class_tree_list"][0] = [np.int64(0)]
    check(read_reference_tree(write_zip(tmp_path / "tree.pth", fields, protocol)))


class Call:
    """Pickles as a function call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda mark: Call(os.mkdir, mark), "posix.mkdir"),
        (lambda mark: Call(builtins.eval, f"__import__('os').mkdir({mark!r})"), "builtins.eval"),
        (lambda mark: Call(builtins.getattr, "", "format"), "builtins.getattr"),
        (lambda mark: Call(np.load, mark), "numpy"),
    ],
)
@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_a_pickle_that_calls_anything_is_rejected_in_one_line_and_nothing_runs(tmp_path, call, name, write):
    mark = tmp_path / "was-here"
    fields = {**authors_tree(), "class_list": call(str(mark))}
    with pytest.raises(TreeError, match=rf"tree\.pth contains {name}") as caught:
        read_reference_tree(write(tmp_path / "tree.pth", fields))
    assert "\n" not in str(caught.value)
    assert not mark.exists()


def test_setting_attributes_on_a_stand_in_is_rejected(tmp_path):
    # GLOBAL, MARK, the state {"make": 1}, BUILD: how a pickle would modify a class.
    data = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n}X\x04\x00\x00\x00makeK\x01sb."
    with pytest.raises(TreeError, match="damaged"):
        read_reference_tree(write_zip(tmp_path / "tree.pth", data))


def test_a_tensor_is_rejected(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({**authors_tree(), "class_list": torch.zeros(3)}, tmp_path / "tree.pth")
    with pytest.raises(TreeError, match="only containers"):
        read_reference_tree(tmp_path / "tree.pth")


@pytest.mark.parametrize("dtype", ["datetime64[s]", "V8", "i4,i4"])
def test_arrays_of_other_types_are_rejected(tmp_path, dtype):
    fields = {**authors_tree(), "class_list": np.zeros(3, dtype)}
    with pytest.raises(TreeError, match="NumPy values of type"):
        read_reference_tree(write_zip(tmp_path / "tree.pth", fields))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04" + bytes(60),
        b"\x80\x02" + b"j" + struct.pack("<I", 1 << 30) + b".",
        pickle.dumps(authors_tree())[:-20],
        b"n02084071\nn00015388\n",
        b"\x80\x02" + b"(" * 100_000,
    ],
)
def test_damaged_files_are_rejected_by_name(tmp_path, content):
    path = tmp_path / "tree.pth"
    path.write_bytes(content)
    with pytest.raises(TreeError, match=r"tree\.pth was not written by torch\.save"):
        read_reference_tree(path)


@pytest.mark.parametrize("cut", [50, 400, -300, -30])
def test_a_truncated_zip_is_rejected_by_name(tmp_path, cut):
    path = write_zip(tmp_path / "tree.pth", authors_tree())
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(TreeError, match=r"tree\.pth"):
        read_reference_tree(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"class_list": [1, 2]}, "class_list is not a list of strings"),
        ({"class_tree_list": [[0]]}, "one list per class, 6 in all"),
        ({"class_tree_list": [[0], [0], [2], [3], [4], [5]]}, r"class_tree_list\[1\]"),
        ({"class_tree_list": [[0], [1], [2, 6], [3], [4], [5]]}, r"class_tree_list\[2\]"),
        ({"class_tree_list": [[0], [1, 0], [2, 1], [3], [4], [5]]}, "class_tree_list of n02084071"),
        ({"class_tree_list": [[0, 1], [1, 0], [2], [3], [4], [5]]}, "cycle"),
        ({"class_description": ["dog"]}, "class_description is not a dictionary"),
        ({"class_list": [WNIDS[0]] * 6}, "listed twice"),
    ],
)
def test_a_tree_that_contradicts_itself_is_rejected(tmp_path, change, words):
    with pytest.raises(TreeError, match=words):
        read_reference_tree(write_zip(tmp_path / "tree.pth", {**authors_tree(), **change}))


def test_a_pickle_of_something_else_is_not_a_class_tree(tmp_path):
    with pytest.raises(TreeError, match="not a class tree, which has the keys class_list"):
        read_reference_tree(write_zip(tmp_path / "tree.pth", {"state_dict": {}}))

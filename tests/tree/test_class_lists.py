from importlib.util import find_spec
from pathlib import Path

import pytest

from in21k.tree.class_lists import (
    PublishedList,
    class_list_digest,
    published_class_list,
    read_class_list,
    read_classes,
    read_wnid_list,
)
from in21k.tree.errors import TreeError
from in21k.tree.wordnet import load_wordnet

TIMM = {
    PublishedList.FALL11: "imagenet21k_miil_synsets.txt",
    PublishedList.WINTER21: "imagenet21k_miil_w21_synsets.txt",
    PublishedList.IN12K: "imagenet12k_synsets.txt",
    PublishedList.IN1K: "imagenet_synsets.txt",
}


def write_list(tmp_path, content: bytes):
    path = tmp_path / "classes.txt"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("release", PublishedList)
def test_published_lists_equal_timms(release):
    spec = find_spec("timm")  # found but not imported, which would take seconds
    if spec is None:
        pytest.skip("timm is not installed")
    file = Path(spec.origin).parent / "data" / "_info" / TIMM[release]
    assert list(published_class_list(release)) == file.read_text().split()


def test_digests_depend_on_order_and_boundaries():
    lists = [["ab", "c"], ["a", "bc"], ["c", "ab"], ["ab", "c", ""], []]
    assert len(set(map(class_list_digest, lists))) == len(lists)


def test_a_class_list_may_hold_any_names(tmp_path):
    path = write_list(tmp_path, "Große Egelschnecke\n\n  fox \n".encode())
    assert read_class_list(path) == ["Große Egelschnecke", "fox"]


def test_an_empty_class_list_is_rejected(tmp_path):
    with pytest.raises(TreeError, match=r"classes\.txt lists no classes"):
        read_class_list(write_list(tmp_path, b" \n"))


def test_blank_lines_spaces_and_carriage_returns_in_a_wnid_list_are_ignored(tmp_path):
    path = write_list(tmp_path, b"\n n02084071 \r\n\r\nn00015388")
    assert read_wnid_list(path) == ["n02084071", "n00015388"]


def test_a_class_list_may_have_a_byte_order_mark_and_the_line_ends_of_windows(tmp_path):
    path = write_list(tmp_path, b"\xef\xbb\xbfn02084071\r\nn00015388\r\n")
    assert read_wnid_list(path) == read_class_list(path) == ["n02084071", "n00015388"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"n02084071\n\nn0208407\n", r"classes\.txt, line 3: 'n0208407'"),
        (b"n02084071,dog\n", r"classes\.txt, line 1: 'n02084071,dog'"),
        (b"n99999999\n", r"classes\.txt, line 1: 'n99999999'"),
        (b"x" * 5000, r"classes\.txt, line 1: 'x{80}'"),
        (b"", r"classes\.txt lists no wnids"),
        (b"\n \n", r"classes\.txt lists no wnids"),
        ("n02084071 ä\n".encode(), r"classes\.txt is not a text file"),
        (b"\xff\xd8\xff\xe0", r"classes\.txt is not a text file"),
    ],
)
def test_errors_in_a_wnid_list_name_the_file_and_line(tmp_path, content, complaint):
    with pytest.raises(TreeError, match=complaint):
        read_wnid_list(write_list(tmp_path, content))


def test_the_packaged_lists_are_what_they_were():
    lists = {each.value: published_class_list(each) for each in PublishedList}
    assert {name: (len(wnids), class_list_digest(wnids)[:16]) for name, wnids in lists.items()} == {
        "fall11-p": (11221, "cd76d977daaa2f13"),
        "winter21-p": (10450, "f49dde3d69946b86"),
        "in12k": (11821, "f6483e79f18a9b67"),
        "in1k": (1000, "70002b0ff5de60a3"),
    }


@pytest.mark.parametrize("release", PublishedList)
def test_published_lists_are_synsets_in_byte_order(release):
    wnids = published_class_list(release)
    assert list(wnids) == sorted(set(wnids), key=str.encode)
    assert all(wnid in load_wordnet() for wnid in wnids)


def test_a_line_separator_within_a_label_does_not_divide_it(tmp_path):
    assert read_class_list(write_list(tmp_path, "a\u2028b\r\nc\x0bd\n".encode())) == ["a\u2028b", "c\x0bd"]


@pytest.mark.parametrize("read", [read_class_list, read_classes, read_wnid_list])
def test_a_file_that_is_too_long_for_a_list_is_not_read(read, tmp_path):
    path = tmp_path / "dump.tar"
    with path.open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(TreeError, match=r"dump\.tar: 67,108,865 bytes are no list of classes"):
        read(path)

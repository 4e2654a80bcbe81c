import json
import re
import shutil

import pandas as pd
import pyarrow.parquet as pq
import pytest
from commands import RefusedError, call, digests, one_line, prep
from dumps import KEPT, SIZE, images_of, make_dump

from in21k.prep.cli.pipeline import resize_command


@pytest.fixture(scope="module")
def truncated(tmp_path_factory):
    raw = make_dump(tmp_path_factory.mktemp("cut") / "cut.tar", {"n02084071": images_of("n02084071", 9)})
    raw.write_bytes(raw.read_bytes()[:4000])
    return raw


def wrong_commands(tmp_path):
    text = tmp_path / "text.tar"
    text.write_text("no tar\n" * 200)
    bad_list = tmp_path / "list.txt"
    bad_list.write_text("n02084071\nnonsense\n")
    return {
        "no-such-file": (["filter", tmp_path / "gone.tar", tmp_path / "w"], "gone.tar: there is no such file"),
        "text-named-tar": (["run", text, tmp_path / "w", tmp_path / "o"], "text.tar is not a tar"),
        "no-work-folder": (["split", tmp_path / "nowhere"], "no finished filter there"),
        "bad-list": (["tree", bad_list, "--output", tmp_path / "t.parquet"], "list.txt, line 2: 'nonsense'"),
        "no-source": (["tree", tmp_path / "gone"], "gone does not exist"),
        "size": (["resize", tmp_path, "--size", 3], "--size 3: give 8 to 4096 pixels"),
        "samples": (
            ["shard", tmp_path, tmp_path / "o", "--samples-per-shard", 0],
            "--samples-per-shard 0: give 1 or more",
        ),
        "min-images": (["filter", text, tmp_path / "w", "--min-images", 0], "give 1 or more"),
        "work-is-a-file": (["split", text], "text.tar"),
    }


CASES = [
    "no-such-file",
    "text-named-tar",
    "no-work-folder",
    "bad-list",
    "no-source",
    "size",
    "samples",
    "min-images",
    "work-is-a-file",
]


@pytest.mark.parametrize("case", CASES)
def test_what_a_user_gets_wrong_is_one_line_and_exit_code_one(tmp_path, case):
    arguments, complaint = wrong_commands(tmp_path)[case]
    with pytest.raises(RefusedError) as refused:
        call(*arguments)
    assert complaint in str(refused.value)
    assert refused.value.code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["filter"],
        ["filter", "raw.tar", "work", "--min-images", "many"],
        ["split", "work", "--order", "size"],
        ["resize", "work", "--memory", "lots"],
        ["resize", "work", "--memory", "inf"],
        ["resize", "work", "--filter", "nearest"],
        ["shard", "work"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_line_and_exit_code_two(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RefusedError) as refused:
        call(*arguments)
    assert refused.value.code == 2
    assert list(tmp_path.iterdir()) == []


def test_wrong_usage_of_the_process_is_one_line(tmp_path):
    one_line(prep("--nonsense", cwd=tmp_path), 2)
    one_line(prep("shard", "work", cwd=tmp_path), 2)


def test_a_truncated_dump_is_one_line(truncated, tmp_path):
    line = one_line(prep("filter", truncated, tmp_path / "work"))
    assert "cut.tar is truncated or damaged after 4000 bytes" in line


def test_debug_shows_the_traceback(truncated, tmp_path):
    run = prep("--debug", "filter", truncated, tmp_path / "work")
    assert run.returncode == 1
    assert "Traceback (most recent call last)" in run.stderr
    assert "is truncated or damaged" in run.stderr


def test_a_run_prints_its_counts_and_nothing_on_stderr(dataset, tmp_path):
    run = prep("filter", dataset.raw, tmp_path / "work", "--min-images", 10)
    assert run.returncode == 0
    assert run.stderr == ""
    assert run.stdout.startswith("filter: done\n")
    assert re.search(r"classes kept +5\n", run.stdout)


def test_json_summaries_parse(dataset, tmp_path):
    run = prep("filter", dataset.raw, tmp_path / "work", "--min-images", 10, "--json")
    assert json.loads(run.stdout) == {
        "command": "filter",
        "classes": 7,
        "images": sum(map(len, dataset.files.values())),
        "classes_kept": len(KEPT),
        "images_kept": sum(KEPT.values()),
        "classes_unknown": 1,
        "rejected": 0,
    }


def test_help_is_there_for_every_command():
    commands = re.findall(r"^  ([a-z]+)  ", prep("--help").stdout.partition("Options:")[2], re.MULTILINE)
    assert {"filter", "split", "resize", "shard", "run", "tree", "demo"} <= set(commands)
    from click.testing import CliRunner

    from in21k.prep.cli.main import main

    for command in commands:
        shown = CliRunner().invoke(main, [command, "--help"])
        assert shown.exit_code == 0
        assert f"Usage: in21k-prep {command} " in shown.output
        assert re.search("Examples?:", shown.output)


def test_no_arguments_show_the_help_and_exit_with_two():
    run = prep()
    assert run.returncode == 2
    assert run.stderr.startswith("Usage: ")
    assert "Traceback" not in run.stderr


def test_tree_of_a_list_is_the_hierarchy_table(tmp_path):
    (tmp_path / "list.txt").write_text("n00015388\nn01317541\nn02084071\n")
    summary = call("tree", tmp_path / "list.txt", "--output", tmp_path / "tree.parquet")
    assert (summary["classes"], summary["levels"], summary["classes_per_level"]) == (3, 3, [1, 1, 1])
    rows = pd.read_parquet(tmp_path / "tree.parquet")
    assert rows["path_names"].tolist()[-1] == "animal > domestic animal > dog"
    assert rows["images_subtree"].tolist() == [0, 0, 0]


def test_tree_of_a_dataset_is_its_own_table(dataset, tmp_path):
    call("tree", dataset.out, "--output", tmp_path / "tree.parquet")
    assert pq.read_table(tmp_path / "tree.parquet").equals(pq.read_table(dataset.out / "hierarchy.parquet"))


def test_tree_takes_another_rule_of_parents(dataset, tmp_path):
    call("tree", dataset.out, "--output", tmp_path / "tree.parquet", "--parents", "wordnet-first")
    assert pq.read_schema(tmp_path / "tree.parquet").metadata[b"in21k.parents"] == b"wordnet-first"


@pytest.mark.parametrize("content", [b"", b"no parquet", b"PAR1" * 50])
def test_tree_of_a_dataset_with_a_damaged_table_is_one_line(dataset, tmp_path, content):
    out = tmp_path / "out"
    out.mkdir()
    (out / "manifest.json").write_bytes((dataset.out / "manifest.json").read_bytes())
    (out / "hierarchy.parquet").write_bytes(content)
    line = one_line(prep("tree", out, "--output", tmp_path / "tree.parquet"))
    assert "hierarchy.parquet" in line


def test_a_list_with_a_class_twice_is_one_line(tmp_path):
    (tmp_path / "list.txt").write_text("n02084071\nn02084071\n")
    line = one_line(prep("tree", tmp_path / "list.txt", "--output", tmp_path / "tree.parquet"))
    assert "'n02084071' is listed twice" in line
    assert not (tmp_path / "tree.parquet").exists()


def test_memory_is_a_size_as_everywhere():
    (memory,) = (option for option in resize_command.params if option.name == "memory")
    assert memory.type.convert("2GB", memory, None) == 2 * 10**9
    assert memory.default == 600 << 20


def test_a_finished_resize_opens_with_another_memory(dataset, tmp_path):
    shutil.copytree(dataset.work, tmp_path / "work")
    before = digests(tmp_path / "work")
    call("resize", tmp_path / "work", "--size", SIZE, "--memory", "2GB")
    assert digests(tmp_path / "work") == before


def test_many_sidecars_are_counted_by_kind(dataset, tmp_path):
    shutil.copytree(dataset.out, tmp_path / "out")
    lost = [path for kind in ("idx", "txt", "json") for path in (tmp_path / "out").rglob(f"*.{kind}")]
    lost.remove(tmp_path / "out" / "manifest.json")
    for path in lost:
        path.unlink()
    run = prep("sidecars", tmp_path / "out")
    assert run.stdout.splitlines()[-2].split(None, 1) == ["files", "9 .idx, 5 .json, 2 .txt"]

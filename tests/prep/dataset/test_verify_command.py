import json
import shutil

import pytest
from click.testing import CliRunner
from commands import call, one_line, prep

from in21k.prep.cli.main import main
from in21k.shards_manifest.verify.findings import CODES

TRAIN = "train/in21k-train-000000.tar"


@pytest.fixture
def copy(dataset, tmp_path):
    return shutil.copytree(dataset.out, tmp_path / "copy")


@pytest.mark.parametrize("level", [[], ["--quick"], ["--deep"]])
def test_a_sound_dataset_passes(dataset, level):
    summary = call("verify", dataset.out, *level)
    assert (summary["sound"], summary["findings"]) == (True, [])
    assert summary["level"] == (level[0].removeprefix("--") if level else "digest")


def test_findings_are_a_table_and_exit_1(copy):
    (copy / TRAIN).write_bytes(b"")
    result = CliRunner().invoke(main, ["verify", str(copy), "--quick"])
    assert result.exit_code == 1
    head, row, last, after = result.stdout.splitlines()
    assert head.split() == ["code", "file", "finding"]
    assert row.split()[:2] == ["E103", TRAIN]
    assert last == f"verify: 1 finding in {copy}"
    assert after == f"next: in21k-prep repair work/ {copy}"


def test_sidecars_are_rewritten_without_the_work_folder(copy):
    (copy / "_info.json").unlink()
    result = CliRunner().invoke(main, ["verify", str(copy), "--quick"])
    assert result.stdout.splitlines()[-1] == f"next: in21k-prep sidecars {copy}"


def test_findings_as_json(copy):
    (copy / TRAIN).unlink()
    result = CliRunner().invoke(main, ["verify", str(copy), "--json"])
    summary = json.loads(result.stdout)
    assert (result.exit_code, summary["sound"]) == (1, False)
    (finding,) = summary["findings"]
    assert finding == {
        "code": "E102",
        "path": TRAIN,
        "message": "the manifest lists it",
        "count": 1,
        "meaning": CODES["E102"],
    }


def test_deep_finds_the_same_in_several_processes(copy):
    content = bytearray((copy / TRAIN).read_bytes())
    content[20] ^= 1
    (copy / TRAIN).write_bytes(content)
    found = [
        json.loads(CliRunner().invoke(main, ["verify", str(copy), "--deep", "--workers", n, "--json"]).stdout)
        for n in ("1", "2")
    ]
    assert found[0] == found[1]
    assert {finding["code"] for finding in found[0]["findings"]} == {"E101", "E201"}


def test_no_dataset_is_one_line(tmp_path):
    assert "no manifest.json there" in one_line(prep("verify", tmp_path))
    assert "name the dataset's folder, not its manifest" in one_line(prep("verify", tmp_path / "manifest.json"))
    assert "--workers 0: give 1 or more" in one_line(prep("verify", tmp_path, "--workers", 0))


def test_sidecars_are_rewritten_if_they_differ(dataset, copy):
    (copy / "README.md").write_text("mine")
    (copy / "val/sizes.json").unlink()
    assert call("sidecars", copy) == {"written": 2, "files": ["README.md", "val/sizes.json"]}
    assert (copy / "README.md").read_bytes() == (dataset.out / "README.md").read_bytes()
    assert call("sidecars", copy) == {"written": 0, "files": []}


def test_every_code_is_in_the_docs(request):
    docs = (request.config.rootpath / "docs" / "formats.md").read_text(encoding="utf-8")
    assert [code for code, meaning in CODES.items() if f"| `{code}` | {meaning} |" not in docs] == []

"""Uploads of exported folders to a hub, a real server: what gets there, and what is refused before or after."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands import error_lines
from exported import random_model
from hub_uploads import TOKEN, Repository, UploadHub, upload_hub
from train_runs import answer, train_command

REPO = "owner/name"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("upload") / "model"
    random_model(folder, "test_resnet", 32)
    return folder


@pytest.fixture
def hub(monkeypatch, tmp_path) -> Iterator[UploadHub]:
    """A hub, to which the library in this process goes: it reads its address but once, when it is imported."""
    with upload_hub() as hub:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
        yield hub


@pytest.fixture
def export(capsys, model):
    def run(out: Path, *options: str, repo: str = REPO) -> SimpleNamespace:
        status, printed, err = answer(capsys, "export", model, out, "--push", repo, "--json", *options)
        assert TOKEN not in printed + err
        return SimpleNamespace(returncode=status, stdout=printed, stderr=err)

    return run


def check_refused(done: SimpleNamespace, message: str) -> None:
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert message in done.stderr


@pytest.mark.slow
def test_a_hub_is_found_by_the_environment(model, tmp_path):
    with upload_hub() as hub:
        ours = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path)}
        command = train_command("export", model, tmp_path / "out", "--push", REPO)
        done = subprocess.run(command, env={**os.environ, **ours}, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"{hub.endpoint}/{REPO}/commit/" in done.stdout
        assert TOKEN not in done.stdout
        assert "model.safetensors" in hub.models[REPO].files


def test_the_folder_is_uploaded_whole_and_private(hub, export, tmp_path):
    done = export(tmp_path / "out", "--onnx")
    assert (done.returncode, done.stderr) == (0, "")
    summary = json.loads(done.stdout)
    [(name, there)] = hub.models.items()
    assert (name, there.private) == (REPO, True)
    assert summary["pushed"] == f"{hub.endpoint}/{REPO}/commit/{there.sha}"
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert {**files, ".gitattributes": b""} == there.files
    assert set(files) == set(summary["files"])
    assert f'timm.create_model("hf-hub:{REPO}", pretrained=True)' in files["README.md"].decode()


def test_public_is_asked_for(hub, export, tmp_path):
    assert export(tmp_path / "out", "--public").returncode == 0
    assert not hub.models[REPO].private


def test_a_model_that_is_there_is_overwritten_only_on_demand_and_other_files_stay(hub, export, tmp_path):
    before = {"README.md": b"old", "model.onnx": b"of another model", "notes.md": b"mine"}
    hub.models[REPO] = Repository(private=True, files=dict(before))
    done = export(tmp_path / "out")
    check_refused(done, f"{REPO} on the hub already holds README.md and 2 more; give another name, or --overwrite")
    assert hub.models[REPO].files == before
    assert not (tmp_path / "out").exists()
    assert export(tmp_path / "out", "--overwrite").returncode == 0
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert hub.models[REPO].files == {**files, "notes.md": b"mine"}  # no graph of another model beside the new weights


@pytest.mark.parametrize(
    ("private", "options", "message"),
    [
        (False, (), "is public; add --public, or give another name"),
        (True, ("--public",), "is private; make it public there, or leave out --public"),
    ],
)
def test_what_is_there_keeps_its_visibility(hub, export, tmp_path, private, options, message):
    hub.models[REPO] = Repository(private)
    check_refused(export(tmp_path / "out", *options), f"{REPO} on the hub {message}")
    assert set(hub.models[REPO].files) == {".gitattributes"}
    assert not (tmp_path / "out").exists()


def test_without_a_login_nothing_is_exported(hub, export, monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN")
    check_refused(export(tmp_path / "out"), "needs a login: run `hf auth login`, or set HF_TOKEN")
    assert not (tmp_path / "out").exists()


def test_a_token_that_the_hub_does_not_know_is_one_line(hub, export, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    done = export(tmp_path / "out")
    check_refused(done, "use a token that may write there (`hf auth login`, or HF_TOKEN)")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("repo", ["name", "a/b/c", "owner/na me", "-owner/name"])
def test_a_name_that_is_no_owner_and_name_is_one_line(hub, export, tmp_path, repo):
    check_refused(export(tmp_path / "out", repo=repo), f"--push {repo!r} is no OWNER/NAME")


def test_a_failed_upload_leaves_the_folder_and_says_how_to_go_on(hub, export, tmp_path):
    hub.forbidden = True
    done = export(tmp_path / "out")
    check_refused(done, "You have no right to do that")
    assert done.stderr.endswith(f"{tmp_path / 'out'} is complete: hf upload {REPO} {tmp_path / 'out'} . --private\n")
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_a_card_that_the_hub_refuses_is_one_line(hub, export, tmp_path):
    hub.yaml_errors = ['"license" must be one of a list']
    check_refused(export(tmp_path / "out"), '"license" must be one of a list')
    assert set(hub.models[REPO].files) == {".gitattributes"}


def test_a_commit_of_somebody_else_in_between_is_not_overwritten(hub, export, tmp_path):
    hub.models[REPO] = Repository(private=True, files={"README.md": b"old"})
    hub.between = {"README.md": b"new"}
    check_refused(export(tmp_path / "out", "--overwrite"), "A commit has happened since")
    assert hub.models[REPO].files == {"README.md": b"new"}


def test_a_hub_that_does_not_answer_is_one_line(hub, export, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    check_refused(export(tmp_path / "out"), f"{REPO} on the hub: ")
    assert not (tmp_path / "out").exists()


def test_options_of_an_upload_without_one_are_wrong_usage(capsys, model, tmp_path):
    status, out, err = answer(capsys, "export", model, tmp_path / "out", "--public")
    assert (status, out, len(error_lines(err))) == (2, "", 1)
    assert "--public and --overwrite are for --push" in err

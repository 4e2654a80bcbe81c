"""An evaluation on a run's own images holds out those that the run held out, and no others."""

import json
import re

import pytest
from downstream import one_epoch, write_images

from in21k.train.cli.main import main

LAYOUT = ("--layout", "imagefolder", "--device", "cpu", "--workers", 0)


@pytest.fixture
def photos(tmp_path):
    return write_images(tmp_path / "photos", {f"{'ab'[at % 2]}/{at}.jpg": at % 2 for at in range(30)})


def evaluated(capsys, photos, run, *more):
    """Exit status, stdout and all of stderr."""
    with pytest.raises(SystemExit) as exited:
        main([*map(str, ("evaluate", photos, "--checkpoint", run, *LAYOUT, *more))])
    return exited.value.code, *capsys.readouterr()


def test_a_run_is_scored_on_the_images_that_it_held_out(capsys, photos, tmp_path):
    run = tmp_path / "run"
    scores = one_epoch(capsys, photos, run, "--probe", "--val-share", 0.2)
    assert json.loads((run / "config.json").read_text())["dataset"]["val_share"] == 0.2
    for share in ((), ("--val-share", 0.2)):
        status, out, err = evaluated(capsys, photos, run, *share, "--json")
        assert (status, json.loads(out)["val_top1"], json.loads(out)["val_images"]) == (0, scores["val_top1"], 6), err
        assert (f"; --val-share 0.2, as in {run}" in err) == (not share)
    status, _, err = evaluated(capsys, photos, run, "--val-share", 0.5)
    assert status == 1
    assert f"{run} was trained on 10 of these 16 val images of {photos}" in err
    assert "give --val-share 0.2, or leave it out" in err
    assert evaluated(capsys, photos, run, "--val-share", 0.1)[0] == 0  # all of them are among the 6
    moved = photos.rename(tmp_path / "moved")
    status, out, err = evaluated(capsys, moved, run, "--json")
    assert (status, json.loads(out)["val_top1"]) == (0, scores["val_top1"]), err
    assert evaluated(capsys, moved, run, "--val-share", 0.5)[0] == 1


def test_photos_that_came_after_the_training_are_noted(capsys, photos, tmp_path):
    run = tmp_path / "run"
    one_epoch(capsys, photos, run, "--probe", "--val-share", 0.2)
    assert "note" not in evaluated(capsys, photos, run)[2]
    write_images(photos, {f"a/new{at}.jpg": 0 for at in range(10)})
    status, _, err = evaluated(capsys, photos, run)
    assert status == 0
    assert re.search(rf"note: {photos} is not split as it was when {run} was trained on it", err)
    config = json.loads((run / "config.json").read_text())
    del config["dataset"]["val_share"]  # as of a run of before
    (run / "config.json").write_text(json.dumps(config))
    status, _, err = evaluated(capsys, photos, run, "--val-share", 0.5)
    assert (status, "or another share was held out" in err) == (0, True)
    status, _, err = evaluated(capsys, photos, run)
    assert (status, "pass --val-share" in err) == (1, True)
    other = write_images(tmp_path / "other", {f"{'ab'[at % 2]}/{at}.jpg": at % 2 for at in range(8)})
    assert "note" not in evaluated(capsys, other, run, "--val-share", 0.5)[2]

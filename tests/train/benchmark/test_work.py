"""Commands run at once: each in its share of the machine, and all of them over when the call is."""

import os
import sys

import pytest
from processes import started_with

from in21k.train.benchmark.work import Share, Work, run_all, shares


def test_cores_are_shared_evenly_and_gpus_in_turn():
    found = shares(3, range(8), ["0", "1"])
    assert [sorted(share.cpus) for share in found] == [[0, 1], [2, 3, 4], [5, 6, 7]]
    assert [share.gpu for share in found] == ["0", "1", "0"]
    assert [sorted(share.cpus) for share in shares(3, [4, 7])] == [[4], [7], [4]]


def test_a_command_has_its_share_and_its_end_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cpu = min(os.sched_getaffinity(0))
    text = (
        "import os; print(os.sched_getaffinity(0), os.environ['OMP_NUM_THREADS'], os.environ['CUDA_VISIBLE_DEVICES'])"
    )
    work = [Work(f"{at}", [sys.executable, "-c", text + f"; exit({at})"], tmp_path / f"{at}.log") for at in range(3)]
    ended = {}
    run_all(work, [Share(frozenset([cpu]), "5")], lambda one, how: ended.update({one.name: how}))
    assert {name: how.status for name, how in ended.items()} == {"0": 0, "1": 1, "2": 2}
    assert {how.told for how in ended.values()} == {f"{{{cpu}}} 1 5"}
    assert (tmp_path / "1.log").read_text().startswith(f"$ {sys.executable} -c import os")


def test_what_still_runs_is_stopped_where_the_call_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("IN21K_TEST", str(tmp_path))
    log = tmp_path / "long.log"
    text = f"import pathlib, time; pathlib.Path({str(tmp_path / 'began')!r}).touch(); time.sleep(600)"
    work = [Work("long", [sys.executable, "-c", text], log), Work("short", [sys.executable, "-c", ""], log)]

    class EndedError(Exception):
        pass

    def ended(one, how):
        raise EndedError

    with pytest.raises(EndedError):
        run_all(work, shares(2, sorted(os.sched_getaffinity(0))), ended)
    assert not started_with(IN21K_TEST=str(tmp_path))

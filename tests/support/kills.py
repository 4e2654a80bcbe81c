"""A run that is killed without warning again and again, at random moments, and restarted each time.

python tests/support/kills.py [--kills 30] [--seed 0]
"""

import argparse
import os
import random
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from commands import PREP, digests, prep
from dumps import jpeg, make_dump, read_dump
from forms import hub_shards

from in21k.tree.wordnet import load_wordnet

CLASSES, IMAGES = 50, 8
OPTIONS = ("--min-images", 4, "--val-per-class", 2, "--size", 96, "--samples-per-shard", 8, "--workers", 2)


def draw_dump(path: Path) -> Path:
    """Draw a dump whose images take a while to decode."""
    pictures = [jpeg(seed, (700, 500)) for seed in range(IMAGES)]
    wnids = list(load_wordnet())[20_000 : 20_000 + 10 * CLASSES : 10]
    return make_dump(
        path, {wnid: [(f"{wnid}_{number}.JPEG", data) for number, data in enumerate(pictures)] for wnid in wnids}
    )


def progress(folder: Path) -> int:
    """Return how many files a run has finished so far."""
    finished = ("work/*.json", "work/parts/part-*[0-9].parquet", "out/.unfinished/*.json", "out/*.parquet")
    return sum(1 for pattern in finished for _ in folder.glob(pattern))


def session(leader: int) -> list[int]:
    """Return the processes that live in the session of one."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its_session = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(its_session) == leader and state != "Z":
            found.append(int(stat.parent.name))
    return found


def run_and_kill(arguments: tuple, folder: Path, chance: random.Random) -> bool:
    """Start a run, kill it after some more files or some time, and return whether it had ended by itself before."""
    run = subprocess.Popen(
        [*PREP, *map(str, arguments)], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    target = progress(folder) + chance.randint(1, 5)
    latest = time.monotonic() + chance.uniform(0.1, 8)
    while run.poll() is None and progress(folder) < target and time.monotonic() < latest:
        time.sleep(0.002)
    time.sleep(chance.uniform(0, 0.05))
    if run.poll() is not None:
        return True
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    deadline = (
        time.monotonic() + 30
    )  # a server of workers looks up when it has done its imports, late on a busy machine
    while left := session(run.pid):
        assert time.monotonic() < deadline, f"processes {left} outlive the run that was killed"
        time.sleep(0.02)
    return False


def endure(scratch: Path, kills: int, seed: int, *, mixed: bool = False) -> dict[str, int]:
    """Kill runs until there were enough kills, then let the last one end; every dataset must be the undisturbed one."""
    chance = random.Random(seed)
    raw = draw_dump(scratch / "raw.tar")
    calm = scratch / "calm"
    if mixed:
        raw = hub_shards(scratch / "hub", {wnid: list(files.items()) for wnid, files in read_dump(raw).items()})
    assert prep("run", raw, calm / "work", calm / "out", *OPTIONS).returncode == 0
    wanted = digests(calm / "out")
    killed = runs = 0
    while killed < kills:
        runs += 1
        folder = scratch / f"run-{runs}"
        arguments = ("run", raw, folder / "work", folder / "out", *OPTIONS)
        while killed < kills and not run_and_kill(arguments, folder, chance):
            killed += 1
        last = prep(*arguments)
        assert last.returncode == 0, last.stderr
        assert digests(folder / "out") == wanted, f"run {runs} gave other files"
        assert not list(folder.rglob(".tmp-*")), f"run {runs} left temporary files"
        assert not (folder / "out" / ".unfinished").exists()
    return {"kills": killed, "runs": runs, "files": len(wanted)}


def main() -> None:
    """Run it and print what was endured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        counts = endure(Path(scratch), options.kills, options.seed)
    print(f"{counts['kills']} kills in {counts['runs']} run(s): all {counts['files']} files are those of a calm run")


if __name__ == "__main__":
    main()

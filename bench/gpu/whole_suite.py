"""The check that is the test suite's own: all tests marked gpu."""

import re
import subprocess
import sys
from pathlib import Path

from gpu.check import Failed, Outcome, Skip
from gpu.setup import Setup

ROOT = Path(__file__).parents[2]
COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped)")


def marked(setup: Setup) -> Outcome:
    """Check that all tests marked gpu pass; on a CPU, that all of them are there and are skipped."""
    setup.folder.mkdir(parents=True, exist_ok=True)
    options = ["-m", "gpu", "-q", "-p", "no:cacheprovider", "--basetemp", str(setup.folder / "tests")]
    command = [sys.executable, "-m", "pytest", *options, str(ROOT / "tests")]
    log = setup.folder / "pytest.log"
    with log.open("w") as file:
        done = subprocess.run(command, cwd=ROOT, stdout=file, stderr=file, check=False)
    said = (log.read_text(errors="replace").splitlines() or ["nothing was printed"])[-1]
    counts = {word.removesuffix("s"): int(number) for number, word in COUNT.findall(said)}
    if done.returncode or not counts:
        raise Failed(f"pytest ended with {done.returncode}: {said}")
    if not setup.on_gpu and counts.keys() == {"skipped"}:
        raise Skip(f"{counts['skipped']} tests need a GPU")
    if not counts.get("passed"):
        raise Failed(f"no test passed: {said}")
    return Outcome(said.strip("= "))

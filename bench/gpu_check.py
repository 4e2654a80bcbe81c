"""Checks everything that only a GPU shows, and measures it: one command, and a table for docs/performance.md.

    python bench/gpu_check.py [--device cuda|cpu|auto] [--quick] [--only NAME …] [--output FILE.md] [--json FILE.json]

Every check runs in processes of its own for a limited time: one that fails, crashes or hangs is a row of the table, and
the others go on. On a CPU, the same checks run at small sizes, and what needs two GPUs runs in two processes; the
figures are then not measurements. The exit status is 1 if a check fails.
"""

import argparse
import fnmatch
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from gpu.all_checks import CHECKS, MACHINE
from gpu.apart import end_all, run_apart, tail
from gpu.check import FAILED, PASSED, SKIPPED, Check, Result, carry_out
from gpu.setup import Setup
from gpu.table import as_json, markdown

CPU_FACTOR = 4
"""How many times as long a check may take on a CPU."""

MAX_JOBS = 4


def main() -> int:
    """Carry out the checks and return the exit status."""
    parser = _parser()
    options = parser.parse_args()
    if options.child:
        carry_out(_named(options.child), Setup.from_json(options.setup), options.answer)
        return 0
    checks = _chosen(options)
    if not checks:
        parser.error(f"no check is called {' or '.join(options.only)}; --list shows them")
    if options.list:
        print("\n".join(each.name for each in checks))
        return 0
    if options.scratch and options.scratch.exists():
        parser.error(f"{options.scratch} is there already; --scratch makes a new folder")
    with _scratch(options.scratch) as scratch:
        return _carried_out(options, checks, scratch)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto", help="auto takes a GPU, if any")
    parser.add_argument("--quick", action="store_true", help="a few checks of each kind")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="checks by name; * stands for anything")
    parser.add_argument("--list", action="store_true", help="print the names of the checks")
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="write the table there as well")
    parser.add_argument("--json", type=Path, metavar="FILE.json", help="write all results there")
    parser.add_argument("--timm-train", type=Path, metavar="FILE", help="timm's train.py, to compare with")
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="checks at a time; by default the CPUs decide")
    parser.add_argument(
        "--scratch", type=Path, metavar="FOLDER", help="keep datasets, runs and logs in this new folder"
    )
    for name, kind in (("child", str), ("setup", str), ("answer", Path)):
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)  # for the check's own process
    return parser


def _named(name: str) -> Check:
    return next(each for each in (MACHINE, *CHECKS) if each.name == name)


def _chosen(options: argparse.Namespace) -> list[Check]:
    """Return the checks that were asked for."""
    checks = [each for each in CHECKS if each.is_quick or not options.quick]
    if not options.only:
        return checks
    return [each for each in CHECKS if any(fnmatch.fnmatch(each.name, pattern) for pattern in options.only)]


@contextmanager
def _scratch(folder: Path | None) -> Iterator[Path]:
    """Yield the folder of all that is made; without a name for it, it is removed at the end."""
    if folder is not None:
        folder.mkdir(parents=True)
        yield folder.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="in21k-gpu-", ignore_cleanup_errors=True) as made:
        yield Path(made)


def _carried_out(options: argparse.Namespace, checks: Sequence[Check], scratch: Path) -> int:
    """Carry out the checks on the machine's device, write the table, and return the exit status."""
    device = _device() if options.device == "auto" else options.device
    timm_train = str(options.timm_train.resolve()) if options.timm_train else ""
    setup = Setup(device, str(scratch), timm_train=timm_train)
    machine = _apart(MACHINE, setup)
    _tell(machine, 0, len(checks), scratch)
    results = [machine]
    if machine.status == PASSED:
        results += _all(checks, setup, machine.facts["gpus"], options.jobs)
    names = machine.facts.get("names", {})
    table = markdown(names, results, on_gpu=setup.on_gpu)
    print(f"\n{table}", flush=True)
    for path, text in ((options.output, table), (options.json, as_json(names, results))):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return int(any(each.status == FAILED for each in results))


def _device() -> str:
    """Return what `--device auto` of the trainer takes; where that is an error, the first check says so."""
    code = "from in21k.train.device.choice import choose_device; print(choose_device('auto').type)"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False)
    return done.stdout.strip() or "cuda"


def _all(checks: Sequence[Check], setup: Setup, gpus: int, jobs: int) -> list[Result]:
    """Return the results in the order of the checks: those that measure nothing side by side, then the others."""
    cpus = len(os.sched_getaffinity(0))
    jobs = jobs or min(MAX_JOBS, max(1, setup.pick(cpus, cpus // 3)))
    found: dict[str, Result] = {}

    def one(check: Check) -> None:
        """Carry out a check and show how it ended."""
        reason = _why_skipped(check, setup, gpus)
        found[check.name] = Result(check.name, SKIPPED, reason) if reason else _apart(check, setup)
        _tell(found[check.name], len(found), len(checks), Path(setup.scratch))

    for is_figure, threads in ((False, jobs), (True, 1)):
        _side_by_side([partial(one, each) for each in checks if each.is_figure == is_figure], threads)
    return [found[each.name] for each in checks]


def _side_by_side(tasks: Sequence[Callable[[], None]], threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(task) for task in tasks]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            end_all()
            raise


def _why_skipped(check: Check, setup: Setup, gpus: int) -> str:
    """Return why a check cannot be carried out here; empty if it can."""
    if setup.on_gpu and check.devices > gpus:
        return f"needs {check.devices} GPUs, and there is {gpus}"
    return "" if setup.on_gpu else check.gpu_only


def _apart(check: Check, setup: Setup) -> Result:
    own = setup.of(check.name)
    own.folder.mkdir(parents=True, exist_ok=True)
    answer = own.folder / "answer.json"
    command = [sys.executable, __file__, "--child", check.name, "--setup", own.to_json(), "--answer", str(answer)]
    seconds = check.seconds * (1 if setup.on_gpu else CPU_FACTOR)
    return run_apart(check.name, command, answer, own.folder / "check.log", seconds)


def _tell(result: Result, number: int, total: int, scratch: Path) -> None:
    """Print how a check ended, and the end of its logs if it failed."""
    print(f"[{number:>2}/{total}] {result.status:<7} {result.name} ({result.seconds:.0f} s) {result.note}", flush=True)
    if result.status == FAILED:
        print(tail(scratch / result.name), flush=True)


if __name__ == "__main__":
    sys.exit(main())

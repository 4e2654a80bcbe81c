"""Plants small faults, one at a time, in a copy of the project, and says which ones the tests notice.

    make mutate                          every fault of tests/faults.csv
    make mutate MODULE=tree/edges.py     those of one module
    make mutate-list                     bring the list up to date after code has moved

Each fault is tried with its module's own tests, by tests/faults.toml. Results are kept in build/mutate/results, so that
a run that was ended goes on where it stood; they hold until the module, its tests or its faults change. The exit status
is 1 if a fault goes unnoticed that the list does not call harmless. See docs/testing.md.
"""

import argparse
import fcntl
import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "support")]

from cosmic_ray.mutating import mutate_and_test  # noqa: E402
from cosmic_ray.work_db import WorkDB, use_db  # noqa: E402
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkItem, WorkResult  # noqa: E402
from fault_list import Fault, Module, Mutant, mutants, read_list, read_table, renew  # noqa: E402
from processes import started_with  # noqa: E402

BUILD = ROOT / "build" / "mutate"
COPY = BUILD / "copy"
SERVER = ROOT / "scripts" / "pytest_server.py"
PACKAGES = ("prep", "shards_manifest", "train", "tree")
UNNOTICED, BROKEN = "UNNOTICED", "not tried: the tests fail without a fault"

_LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "build", "__pycache__", ".hypothesis", ".*_cache")
_TEST_SECONDS, _SECONDS = 60, 300  # for one test, and for all of a module's


def make_copy() -> None:
    """Copy the working tree, and lay its packages out as in21k beside it."""
    shutil.rmtree(BUILD / "packages", ignore_errors=True)
    shutil.rmtree(COPY, ignore_errors=True)
    shutil.copytree(ROOT, COPY, ignore=_LEFT_OUT, symlinks=True)
    (BUILD / "packages" / "in21k").mkdir(parents=True)
    for package in PACKAGES:
        (BUILD / "packages" / "in21k" / package).symlink_to(COPY / package)
    for file in (COPY / "api").iterdir():
        (BUILD / "packages" / "in21k" / file.name).symlink_to(file)


def compile_copy(python: Path, tests: set[str]) -> None:
    """Compile the packages and the tests of the copy once, so that not every run does.

    A file that the tool changes is newer than what was compiled, which Python then leaves aside.
    """
    command = [str(python), "-m", "pytest", "--collect-only", "-qq", "-p", "no:cacheprovider", *sorted(tests)]
    subprocess.run(command, cwd=COPY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


@contextmanager
def pytest_server(python: Path) -> Iterator[Path]:
    """Run the server of pytest within the block, and yield its socket."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "socket"
        command = [str(python), str(SERVER), str(path)]
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        with subprocess.Popen(command, cwd=COPY, env=environment, stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout is not None
                process.stdout.readline()
                yield path
            finally:
                process.kill()


def test_command(server: Path, row: Module) -> str:
    """Return the command that tries one fault of a module."""
    options = ["-q", "-x", "-p", "no:cacheprovider", f"--timeout={_TEST_SECONDS}", f"--basetemp={BUILD / 'tmp'}"]
    return shlex.join([sys.executable, "-S", "-E", str(SERVER), str(server), *options, *row.tests])


def results_file(module: str, row: Module, faults: list[Fault]) -> Path:
    """Return where a module's results are kept: a name that changes with the module, its tests and its faults."""
    digest = hashlib.sha256(repr((row.tests, [(f.line, f.operator, f.count) for f in faults])).encode())
    paths = [COPY / test.partition("::")[0] for test in row.tests]
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*.py")))]
    for file in [COPY / module, *files]:
        digest.update(file.read_bytes())
    return BUILD / "results" / f"{module.replace('/', '-')}-{digest.hexdigest()[:16]}.sqlite"


def found_again(module: str, faults: list[Fault]) -> Iterator[tuple[Fault, Mutant]]:
    """Yield a module's faults with what they are in its code as it is now.

    Raises:
        SystemExit: the line of a fault is not in the module any more.
    """
    known = {(each.fault.line, each.fault.operator, each.fault.count): each for each in mutants(COPY / module, module)}
    for fault in faults:
        mutant = known.get((fault.line, fault.operator, fault.count))
        if mutant is None:
            sys.exit(f"mutate: {module} has no more line {fault.line!r} for {fault.operator}: run make mutate-list")
        yield fault, mutant


def work_items(found: list[tuple[Fault, Mutant]]) -> list[WorkItem]:
    """Return what the tool has to do for a module."""
    return [
        WorkItem.single(
            job_id=str(number),
            mutation=MutationSpec(
                module_path=Path(fault.module),
                operator_name=fault.operator,
                occurrence=mutant.occurrence,
                start_pos=mutant.start,
                end_pos=mutant.end,
            ),
        )
        for number, (fault, mutant) in enumerate(found)
    ]


def try_once(item: WorkItem, command: str) -> WorkResult:
    """Return what a module's tests make of a fault; nothing that they started outlives it."""
    result = mutate_and_test(item.mutations, command, _SECONDS)
    end_leftovers()
    return result


@cache
def are_sound(command: str) -> bool:
    """Return whether tests pass without a fault; if not, print what they say."""
    result = try_once(WorkItem(job_id="", mutations=()), command)
    if result.test_outcome != TestOutcome.SURVIVED:
        print((result.output or "")[-3000:], flush=True)
    return result.test_outcome == TestOutcome.SURVIVED


def end_leftovers() -> None:
    """End what tests of an earlier fault have left running, but not the server, which is a child of this process."""
    for process in started_with(IN21K_MUTATE=str(COPY)) - {os.getpid()}:
        with suppress(OSError):  # it has ended meanwhile
            if not is_child(process):
                os.kill(process, signal.SIGKILL)


def is_child(process: int) -> bool:
    """Return whether this process has started another one itself."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1]) == os.getpid()


def try_module(module: str, row: Module, faults: list[Fault], server: Path, *, sound: bool) -> Iterator[str]:
    """Try each fault of a module, print a line for each, and yield what became of it.

    Raises:
        SystemExit: the list does not fit the code.
    """
    found, command = list(found_again(module, faults)), test_command(server, row)
    path = results_file(module, row, faults)
    path.parent.mkdir(parents=True, exist_ok=True)
    with use_db(path, WorkDB.Mode.create) as database:
        if not database.num_work_items:
            database.add_work_items(work_items(found))
        results = dict(database.results)
        items = {item.job_id: item for item in database.work_items}
        is_known = sound or {str(number) for number in range(len(found))} <= results.keys()
        if not is_known and not are_sound(command):
            print(f"{BROKEN}  {module}: {command}", flush=True)
            yield from [BROKEN] * len(found)
            return
        for number, (fault, mutant) in enumerate(found):
            began, name = time.monotonic(), str(number)
            if name not in results:
                results[name] = try_once(items[name], command)
                database.set_result(name, results[name])
            yield report(fault, mutant, results[name], time.monotonic() - began)


def report(fault: Fault, mutant: Mutant, result: WorkResult, seconds: float) -> str:
    """Print a line on a fault that was tried, and the change itself if none noticed it; return what became of it."""
    where = f"{fault.module}:{mutant.start[0]}:{mutant.start[1]}"
    outcome = outcome_of(fault, result)
    print(f"{outcome:9} {seconds:4.0f} s  {where}  {fault.operator.removeprefix('core/')}  {fault.line}", flush=True)
    if found := re.search(r"^(?:FAILED|ERROR) (\S+)", result.output or "", re.MULTILINE):
        print(f"    by {found[1]}", flush=True)
    if outcome == UNNOTICED:
        changes = re.findall(r"^[+-](?![+-]{2}).*", result.diff or "", re.MULTILINE)
        print("\n".join(f"    {line}" for line in changes), flush=True)
    return outcome


def outcome_of(fault: Fault, result: WorkResult) -> str:
    """Return in a word what became of a fault: a test that hangs has noticed it, too."""
    if not result.is_killed:
        return "harmless" if fault.harmless else UNNOTICED
    output = result.output or ""
    return "hung" if output == "timeout" or "Failed: Timeout (>" in output else "noticed"


def try_all(modules: list[str], server: Path, *, sound: bool) -> int:
    """Try the faults of some modules and return the exit status."""
    table, faults = read_table(), read_list()
    outcomes: Counter[str] = Counter()
    for module in modules or table:
        own = [fault for fault in faults if fault.module == module]
        if len(own) != table[module].faults:
            sys.exit(
                f"mutate: tests/faults.csv has not {table[module].faults} faults of {module}: run make mutate-list"
            )
        outcomes.update(try_module(module, table[module], own, server, sound=sound))
    print(f"{outcomes.total()} faults: {', '.join(f'{count} {outcome}' for outcome, count in outcomes.most_common())}")
    return int(bool(outcomes[UNNOTICED] or outcomes[BROKEN]))


def main() -> int:
    """Parse the command line and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="path below the root; default: all")
    parser.add_argument("--renew", action="store_true", help="bring the list up to date, and try nothing")
    parser.add_argument("--python", type=Path, default=ROOT / ".venv/bin/python", help="the interpreter for the tests")
    parser.add_argument("--sound", action="store_true", help="the tests pass without a fault: do not try that first")
    arguments = parser.parse_args()
    if arguments.renew:
        print("\n".join(renew()))
        return 0
    table = read_table()
    if unknown := [module for module in arguments.modules if module not in table]:
        sys.exit(f"mutate: tests/faults.toml has no module {unknown[0]}")
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("mutate: another run is under way")
        os.environ |= {"IN21K_MUTATE": str(COPY), "PYTHONPATH": str(BUILD / "packages")}
        end_leftovers()
        make_copy()
        compile_copy(arguments.python, {test for name in arguments.modules or table for test in table[name].tests})
        os.chdir(COPY)
        with pytest_server(arguments.python) as server:
            return try_all(arguments.modules, server, sound=arguments.sound)


if __name__ == "__main__":
    sys.exit(main())

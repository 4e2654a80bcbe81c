"""Mutants of every file that a command reads: each ends in a result or in one line, soon and in bounded memory."""

import json
import random
import resource
import shutil

import pytest
from click.testing import CliRunner
from dumps import PIPELINE

from in21k.prep.cli.main import main
from in21k.prep.errors import PrepError
from in21k.prep.stages import shard
from in21k.shards_manifest.manifest import CLASSES, HIERARCHY, MANIFEST, REJECTS, SAMPLES

EVERYDAY, SLOW = {"dataset": 40, "work": 30, "unfinished": 30}, {"dataset": 400, "work": 300, "unfinished": 300}
"""Mutants of each folder's files."""


def counts_of(folder):
    """Return the cases of a test: number of mutants, and the seed that draws them."""
    return [(EVERYDAY[folder], 0), pytest.param(SLOW[folder], 1, marks=pytest.mark.slow)]


DATASET_FILES = (MANIFEST, HIERARCHY, CLASSES, SAMPLES, REJECTS)
WORK_FILES = (
    "filter.json",
    "split.json",
    "resize.json",
    "classes.parquet",
    "filter-rejects.parquet",
    "split.parquet",
    "parts/plan.json",
)
ODD_VALUES = (
    None,
    True,
    -1,
    0,
    10**12,
    10**30,
    1.5,
    float("nan"),
    "",
    "../x",
    "/x",
    "\x1b[2J",
    "x" * 10**5,
    [],
    {},
    [[[]]],
)
"""What a JSON value may be replaced by."""


def places(value, path=()):
    """Yield the path of every value in parsed JSON."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


def mutate_json(content, draw):
    fields = json.loads(content)
    *way, last = draw.choice([path for path in places(fields) if path])
    inner = fields
    for key in way:
        inner = inner[key]
    if draw.random() < 0.3:
        del inner[last]
    else:
        inner[last] = draw.choice(ODD_VALUES)
    return json.dumps(fields).encode()


def mutate_bytes(content, draw):
    kind = draw.randrange(6)
    if kind == 0:
        return content[: draw.randrange(len(content))]
    if kind == 1:
        return draw.choice([b"", b"{", b"[" * 10**5, b"PAR1PAR1", b'{"a":' * 10**5, bytes(100), b"\xff\xfe"])
    changed = bytearray(content)
    for _ in range(draw.choice([1, 1, 4, 30])):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    if kind == 2:
        at = draw.randrange(len(changed))
        changed[at:at] = changed[: draw.randrange(1 + len(changed))]
    return bytes(changed)


def mutant(name, content, draw):
    if name.endswith(".json") and draw.random() < 0.7:
        return mutate_json(content, draw)
    return mutate_bytes(content, draw)


def require_one_line(arguments):
    """Run a command and refuse a traceback, a message of several lines, and control characters in it."""
    result = CliRunner().invoke(main, [*map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    lines = [line for line in result.stderr.splitlines() if line.startswith("in21k-prep: error: ")]
    assert result.exit_code in (0, 1, 2), result.output
    assert len(lines) <= 1
    assert "Traceback" not in result.output
    return result.exit_code


def try_mutants(folder, names, commands, count, seed):
    """Try mutants of files, restoring each; return how many a command refused."""
    draw = random.Random(seed)
    refused = 0
    for _ in range(count):
        path = folder / draw.choice(names)
        before = path.read_bytes()
        path.write_bytes(changed := mutant(path.name, before, draw))
        try:
            for arguments in commands:
                refused += bool(require_one_line(arguments))
        except BaseException as error:
            error.add_note(f"{path.name}: {changed[:3000]!r}")
            raise
        path.write_bytes(before)
    return refused


@pytest.mark.parametrize(("count", "seed"), counts_of("dataset"))
def test_mutants_of_a_datasets_files(dataset, tmp_path, count, seed):
    out = shutil.copytree(dataset.out, tmp_path / "out")
    commands = [
        ("verify", out, "--quick"),
        ("inspect", out),
        ("inspect", out, "--class", "dog", "--save", tmp_path / "saved"),
        ("rejects", out),
        ("sidecars", out),
        ("repair", dataset.work, out, "--workers", 1),
    ]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert try_mutants(out, DATASET_FILES, commands, count, seed) > count
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # KiB
    assert {path.name for path in tmp_path.iterdir()} <= {"out", "saved"}


@pytest.mark.parametrize(("count", "seed"), counts_of("work"))
@pytest.mark.usefixtures("inline")
def test_mutants_of_a_work_folders_files(dataset, tmp_path, count, seed):
    work = shutil.copytree(dataset.work, tmp_path / "work")
    draw = random.Random(seed)
    refused = 0
    for at in range(count):
        name = draw.choice(WORK_FILES)
        before = (work / name).read_bytes()
        (work / name).write_bytes(changed := mutant(name, before, draw))
        if name == "parts/plan.json":
            (work / "resize.json").unlink()
        try:
            refused += bool(require_one_line(["run", dataset.raw, work, tmp_path / f"run-{at}", *PIPELINE]))
            refused += bool(require_one_line(["shard", work, tmp_path / f"shard-{at}"]))
        except BaseException as error:
            error.add_note(f"{name}: {changed[:3000]!r}")
            raise
        shutil.rmtree(work)
        shutil.copytree(dataset.work, work)
        for made in tmp_path.glob("*-*"):
            shutil.rmtree(made)
    assert refused > count


@pytest.mark.parametrize(("count", "seed"), counts_of("unfinished"))
@pytest.mark.usefixtures("inline")
def test_mutants_of_an_unfinished_datasets_records(dataset, tmp_path, monkeypatch, count, seed):
    """`begun.json`, and the record and the rows of a shard."""

    def stop(*_arguments):
        raise PrepError("stopped here")

    with monkeypatch.context() as patched:
        patched.setattr(shard, "describe", stop)
        assert require_one_line(["shard", dataset.work, tmp_path / "unfinished"]) == 1
    out, draw = tmp_path / "out", random.Random(seed)
    for _ in range(count):
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(tmp_path / "unfinished", out)
        path = draw.choice(sorted((out / ".unfinished").glob("[bt]*.*")))
        path.write_bytes(changed := mutant(path.name, path.read_bytes(), draw))
        try:
            require_one_line(["shard", dataset.work, out])
        except BaseException as error:
            error.add_note(f"{path.name}: {changed[:3000]!r}")
            raise

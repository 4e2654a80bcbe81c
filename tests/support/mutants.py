"""Mutants of every file that a command reads, each tried in a process of its own that may neither hang nor grow.

`python mutants.py PRISTINE SCRATCH SEED KIND=COUNT…` tries them and prints a line before each: its kind, its number and
its file. A mutant depends on its kind, its number and the seed alone, so that it can be tried again on its own:
`KIND=NUMBER:NUMBER+1`.
"""

import io
import json
import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from click.testing import CliRunner
from dumps import PIPELINE
from watched import DONE, Growth, watch

from in21k.prep.cli.main import main as prep
from in21k.prep.errors import USER_ERRORS, PrepError
from in21k.prep.stages import resize, shard
from in21k.shards_manifest.storage.location import locate

ODD_NUMBERS = (-1, 0, 1, 99, 1 << 20, (1 << 31) - 1, -(1 << 31), 1 << 40, (1 << 62), -(1 << 62))
ODD_TEXTS = ("", "../x", "/x", "\x1b[2J", "x" * 10**5, "n02084071_1", "val", "a\nb", "Ωmega")
ODD_VALUES = (None, True, *ODD_NUMBERS, 10**30, 1.5, float("nan"), *ODD_TEXTS, [], {}, [[[]]])
"""What a JSON value may be replaced by."""


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Yield the path of every value in parsed JSON."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


def mutate_json(content: bytes, draw: random.Random) -> bytes:
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


def mutate_bytes(content: bytes, draw: random.Random) -> bytes:
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


def mutate_table(content: bytes, draw: random.Random) -> bytes:
    """Return a sound Parquet table of other values, columns, types or rows."""
    file = pq.ParquetFile(io.BytesIO(content))
    groups = [file.read_row_group(number) for number in range(file.num_row_groups)] or [file.read()]
    at = draw.randrange(len(groups))
    groups[at] = change_rows(groups[at], draw)
    schema = groups[at].schema
    written = io.BytesIO()
    with pq.ParquetWriter(written, schema) as writer:
        for group in groups:
            if group.schema.names == schema.names:
                writer.write_table(group.cast(schema, safe=False))
    return written.getvalue()


def change_rows(table: pa.Table, draw: random.Random) -> pa.Table:
    at = draw.randrange(table.num_columns)
    field = table.schema.field(at)
    kind = draw.randrange(8)
    if kind == 0:
        return table.remove_column(at)
    if kind == 1:
        return table.rename_columns([*table.column_names[:at], "x", *table.column_names[at + 1 :]])
    if kind == 2:
        return table.take(pa.array([draw.randrange(len(table))] * draw.choice([1, 3, 1 << 16])) if len(table) else [])
    if kind == 3:
        return table.slice(0, draw.randrange(len(table) + 1))
    values = table[at].to_pylist()
    if kind == 4 or not values:
        return table.set_column(at, field.name, pa.array([draw.choice(ODD_TEXTS)] * len(table)))
    plain = getattr(field.type, "value_type", field.type)
    value = draw.choice(ODD_TEXTS if pa.types.is_string(plain) else ODD_NUMBERS)
    values[draw.randrange(len(values))] = draw.choice([[value], None]) if pa.types.is_list(field.type) else value
    kinds = field.type if pa.types.is_list(field.type) else plain
    return table.set_column(at, pa.field(field.name, kinds), pa.array(values, kinds))


def mutant(name: str, content: bytes, draw: random.Random) -> bytes:
    """Return another content of a file; never the same."""
    while True:
        mutate = mutate_bytes
        if draw.random() < 0.7:
            mutate = mutate_json if name.endswith(".json") else mutate_table
        try:
            changed = mutate(content, draw)
        except (pa.ArrowException, OverflowError, TypeError, ValueError):
            continue  # a value that does not fit its column
        if changed != content:
            return changed


class Bench:
    """A folder with `raw.tar`, `work`, `out` and `unfinished`, made anew for each mutant."""

    def __init__(self, pristine: Path, scratch: Path) -> None:
        self.pristine, self.folder = pristine, scratch / "bench"
        self.raw, self.work, self.out = pristine / "raw.tar", self.folder / "work", self.folder / "out"
        key = pq.read_table(pristine / "out" / "samples.parquet")["key"][3].as_py()
        self.inspections = [(), ("--key", key), ("--class", "dog", "--save", self.folder / "saved")]

    def clean(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.pristine, self.folder, ignore=shutil.ignore_patterns("raw.tar"))

    def use_dataset(self, draw: random.Random) -> None:
        require_one_line("verify", self.out, "--quick")
        for options in self.inspections:
            require_one_line("inspect", self.out, *options)
        require_one_line("rejects", self.out)
        read_as_training(self.out)
        if draw.random() < 0.05:
            require_one_line("verify", self.out, "--deep", "--workers", 1)
            require_one_line("report", self.out, "--output", self.folder / "report")
        require_one_line("sidecars", self.out)
        require_one_line("repair", self.work, self.out, "--workers", 1)
        assert {path.name for path in self.folder.parent.iterdir()} == {self.folder.name}

    def use_work(self, draw: random.Random) -> None:
        require_one_line("shard", self.work, self.folder / "shard")
        require_one_line("run", self.raw, self.work, self.folder / "run", *PIPELINE)
        require_one_line("repair", self.work, self.out, "--workers", 1)

    def use_half_of_work(self, draw: random.Random) -> None:
        """Run from where the mutant comes into play: the stages that read it have not been done."""
        for stage in ("resize", *draw.choice([(), ("split",)])):
            (self.work / f"{stage}.json").unlink(missing_ok=True)
        for part in draw.sample(sorted((self.work / "parts").glob("part-*.parquet")), 2):
            part.unlink()
        self.use_work(draw)

    def use_unfinished(self, draw: random.Random) -> None:
        require_one_line("shard", self.work, self.folder / "unfinished")


KINDS: dict[str, tuple[str, Callable[[Bench, random.Random], None]]] = {
    "manifest": ("out/manifest.json", Bench.use_dataset),
    "dataset-table": ("out/*.parquet", Bench.use_dataset),
    "record": ("work/*.json", Bench.use_work),
    "plan": ("work/parts/plan.json", Bench.use_half_of_work),
    "part-table": ("work/parts/*.parquet", Bench.use_work),
    "work-table": ("work/*.parquet", Bench.use_half_of_work),
    "unfinished": ("unfinished/.unfinished/[bt]*.*", Bench.use_unfinished),
}
"""What a mutant is of, and what is done with it."""


def require_one_line(*arguments: object) -> None:
    """Run a command and refuse a traceback, a message of several lines, and control characters in it."""
    result = CliRunner().invoke(prep, [*map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    lines = [line for line in result.stderr.splitlines() if line.startswith("in21k-prep: error: ")]
    assert result.exit_code in (0, 1, 2), result.output
    assert len(lines) == (1 if result.exit_code == 1 and not result.stdout else len(lines)), result.output
    assert len(lines) <= 1, result.output
    assert all(line.isprintable() for line in lines), lines
    assert "Traceback" not in result.output


def read_as_training(out: Path) -> None:
    from in21k.train.data.prepared.dataset import open_dataset
    from in21k.train.use.class_table import read_class_table

    for read in (
        lambda: open_dataset(str(out)).hierarchy_table(),
        lambda: read_class_table(locate(out / "hierarchy.parquet")),
    ):
        with suppress(*USER_ERRORS):
            read()


def leave_unfinished(work: Path, out: Path) -> None:
    """Write shards without what is described at the end."""

    def stop(*_: object) -> None:
        raise PrepError("stopped here")

    usual, shard.describe = shard.describe, stop
    try:
        require_one_line("shard", work, out)
    finally:
        shard.describe = usual


def main() -> None:
    pristine, scratch, seed, *wanted = sys.argv[1:]
    os.fsync = lambda _: None  # no test takes the power away
    for stage in (resize, shard):
        stage.run_tasks = lambda function, tasks, workers: map(function, tasks)
    bench = Bench(Path(pristine), Path(scratch))
    if not (bench.pristine / "unfinished").exists():
        leave_unfinished(bench.pristine / "work", bench.pristine / "unfinished")
    growth = None
    for kind, _, numbers in (each.partition("=") for each in wanted):
        first, _, last = numbers.rpartition(":")
        pattern, use = KINDS[kind]
        for number in range(int(first or 0), int(last)):
            bench.clean()
            if growth is None:  # everything has to be imported first
                use(bench, random.Random(0))
                bench.clean()
                growth = Growth()
            draw = random.Random(f"{seed} {kind} {number}")
            path = draw.choice(sorted(bench.folder.glob(pattern)))
            changed = mutant(path.name, path.read_bytes(), draw)
            print(f"seed {seed}: {kind}={number}:{number + 1} {path.relative_to(bench.folder)}", flush=True)
            path.write_bytes(changed)
            use(bench, draw)
            growth.check()
    print(DONE, end="", flush=True)


def try_mutants(pristine: Path, scratch: Path, seed: int, counts: Mapping[str, int]) -> None:
    """Try so many mutants of each kind in a process of its own; fail with one that ends it, hangs or grows."""
    watch(__file__, pristine, scratch, seed, *(f"{kind}={count}" for kind, count in counts.items()))


if __name__ == "__main__":
    main()

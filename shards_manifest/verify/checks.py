"""Verification of a prepared dataset: a table of small checks, each with its code."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

from in21k.shards_manifest.errors import DatasetError
from in21k.shards_manifest.json_file import read_json_bytes
from in21k.shards_manifest.manifest import CLASSES, HIERARCHY, MANIFEST, SAMPLES, SPLITS, is_intact, read_manifest
from in21k.shards_manifest.sample_table import SampleTable
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.verify import files as verify_files
from in21k.shards_manifest.verify import hierarchy as verify_hierarchy
from in21k.shards_manifest.verify import samples as verify_samples
from in21k.shards_manifest.verify import sidecars as verify_sidecars
from in21k.shards_manifest.verify.findings import Depth, Finding, merged
from in21k.shards_manifest.verify.shard import VerifyTask, check_shard
from in21k.shards_manifest.verify.subject import Observations, Subject


@dataclass(frozen=True)
class Check:
    """One row of the table of checks."""

    code: str
    """A key of CODES."""
    look: Callable[[Subject], Observations]
    """Yields the file to blame and what was seen."""
    needs: tuple[str, ...] = ()
    """Files that it needs: it is skipped if one of them has a finding already."""


_SAMPLES = (HIERARCHY, SAMPLES)

CHECKS = (
    Check("E105", verify_files.contradictions),
    Check("E102", verify_files.missing_files),
    Check("E103", verify_files.other_lengths),
    Check("E104", verify_files.stray_shards),
    Check("E107", verify_files.unreadable_tables),
    Check("E101", verify_files.table_digests),
    Check("E106", verify_files.damaged_tables),
    Check("E501", verify_hierarchy.other_classes, (HIERARCHY,)),
    Check("E502", verify_hierarchy.broken_parents, (HIERARCHY,)),
    Check("E503", verify_hierarchy.contradictions, (HIERARCHY,)),
    Check("E505", verify_hierarchy.other_kept_classes, (CLASSES,)),
    Check("E303", verify_samples.labels_without_class, _SAMPLES),
    Check("E307", verify_samples.labels_of_other_classes, _SAMPLES),
    Check("E302", verify_samples.repeated_keys, _SAMPLES),
    Check("E306", verify_samples.in_both_splits, _SAMPLES),
    Check("E304", verify_samples.val_counts, _SAMPLES),
    Check("E305", verify_samples.counts_in_classes, (*_SAMPLES, CLASSES)),
    Check("E504", verify_samples.counts_in_hierarchy, _SAMPLES),
    Check("E601", verify_sidecars.missing_sidecars),
    Check("E602", verify_sidecars.other_sidecars),
)
"""The checks of a dataset as a whole, in this order; those of each shard are in `verify.shard` and `verify.images`."""

Runner: TypeAlias = Callable[[Callable[[VerifyTask], list[Finding]], Iterable[VerifyTask]], Iterator[list[Finding]]]
"""Applies a function to tasks and yields the results in any order; takes a task whenever it can start one."""


@dataclass(frozen=True)
class Verdict:
    """What verification found."""

    findings: tuple[Finding, ...]
    """By code and file; none if the dataset is sound."""
    shards: int
    """Shards that were read."""
    bytes: int
    """Their length."""

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


def in_threads(workers: int) -> Runner:
    """Return a runner on threads, which suffice for digests: they are computed without the interpreter's lock."""

    def run(function: Callable[[VerifyTask], list[Finding]], tasks: Iterable[VerifyTask]) -> Iterator[list[Finding]]:
        waiting: deque[Future[list[Finding]]] = deque()
        with ThreadPoolExecutor(workers) as pool:
            for task in tasks:
                waiting.append(pool.submit(function, task))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    return run


def verify(
    dataset: Location,
    depth: Depth = Depth.DIGEST,
    run: Runner | None = None,
    advance: Callable[[int, int], None] = lambda _done, _total: None,
) -> Verdict:
    """Return what is wrong with a prepared dataset.

    Args:
        dataset: the folder or prefix that `in21k-prep shard` wrote.
        depth: how deep to look.
        run: how to check the shards; one after another by default.
        advance: called after each shard with the numbers of shards done and in all.

    Raises:
        DatasetError: there is no manifest, or it cannot be read at all.
    """
    files = dataset.files()
    if MANIFEST in files and not is_intact(read_json_bytes(dataset / MANIFEST)):
        return Verdict((Finding("E100", MANIFEST, "`in21k-prep repair` rewrites it"),), 0, 0)
    manifest = read_manifest(dataset)
    subject = Subject(dataset, manifest, files)
    findings = _check_dataset(subject)
    if depth is Depth.QUICK:
        return Verdict(tuple(sorted(findings)), 0, 0)
    shards = [shard for split in SPLITS for shard in manifest.splits[split]]
    for done, found in enumerate((run or map)(check_shard, _tasks(subject, depth)), 1):
        findings += found
        advance(done, len(shards))
    whole = [shard.bytes for shard in shards if files.get(shard.path) == shard.bytes]
    return Verdict(tuple(sorted(findings)), len(whole), sum(whole))


def _check_dataset(subject: Subject) -> list[Finding]:
    findings: list[Finding] = []
    for check in CHECKS:
        if subject.unsound.isdisjoint(check.needs):
            try:
                found = merged(Finding(check.code, *observation) for observation in check.look(subject))
            except DatasetError as error:
                found = [Finding("E106", check.needs[-1], str(error))]
            subject.unsound |= {finding.path for finding in found}
            findings += found
    return findings


def _tasks(subject: Subject, depth: Depth) -> Iterator[VerifyTask]:
    table = None if SAMPLES in subject.unsound else SampleTable(subject.location, subject.manifest)
    for split in SPLITS:
        for number, shard in enumerate(subject.manifest.splits[split]):
            rows = None if table is None else table.rows(split, number)
            is_whole = subject.files.get(shard.path) == shard.bytes
            yield VerifyTask(
                dataset=subject.location,
                shard=shard,
                rows=rows,
                images=subject.manifest.images,
                is_deep=depth is Depth.DEEP,
                is_whole=is_whole,
            )

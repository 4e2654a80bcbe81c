"""Files that verify can list and open, and then not read, as on a failing disk."""

import os
from pathlib import Path

import pytest

from in21k.shards_manifest.manifest import CLASSES, HIERARCHY, REJECTS, SAMPLES
from in21k.shards_manifest.storage.location import locate
from in21k.shards_manifest.verify.checks import verify
from in21k.shards_manifest.verify.findings import Depth


@pytest.mark.parametrize(
    ("name", "code"),
    [
        *((table, "E101") for table in (HIERARCHY, CLASSES, SAMPLES, REJECTS)),
        ("README.md", "E602"),
        ("val/sizes.json", "E602"),
        ("train/in21k-train-000001.idx", "E107"),
        ("train/in21k-train-000001.tar", "E107"),
    ],
)
def test_a_file_that_cannot_be_read_is_the_only_one_blamed(dataset, monkeypatch, name, code):
    pread = os.pread

    def refuse(descriptor, *rest):
        if Path(f"/proc/self/fd/{descriptor}").readlink() == dataset.out / name:
            raise OSError(5, "Input/output error")
        return pread(descriptor, *rest)

    monkeypatch.setattr(os, "pread", refuse)
    (finding,) = verify(locate(dataset.out), Depth.DIGEST).findings
    assert (finding.code, finding.path) == (code, name)
    assert "Input/output error" in finding.message

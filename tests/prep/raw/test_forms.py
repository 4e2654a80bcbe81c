"""Whatever the options, every form of a dump gives the same shards and tables."""

import pytest
from commands import call, digests
from dumps import KEPT, TRUNCATED, images_of, make_dump
from forms import hub_shards, parquet_files, tar_gz_parts, zipped

pytestmark = pytest.mark.usefixtures("inline")

OPTIONS = {
    "fraction": ("--fraction", 0.5),
    "at most": ("--max-images-per-class", 6),
    "by hash": ("--order", "hash", "--seed", 3),
    "without copies": ("--drop-duplicates", "within-class,train-val"),
    "any label": ("--flat",),
}


def files():
    """Images of which some do not decode, low ranks among them, and one is a copy of another."""
    found = {
        wnid: [
            (name.replace(".JPEG", ".jpg"), TRUNCATED if "_1." in name or "_3." in name else data)
            for name, data in images_of(wnid, count)
        ]
        for wnid, count in KEPT.items()
    }
    found["n01887787"][5] = found["n01887787"][5][0], found["n01887787"][0][1]
    return found


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_every_form_gives_the_same_shards_and_tables(options, tmp_path):
    raws = (
        make_dump(tmp_path / "raw.tar", files()),
        hub_shards(tmp_path / "hub", files()),
        parquet_files(tmp_path / "parquet", files()),
        tar_gz_parts(tmp_path / "parts", files()),
        zipped(tmp_path / "raw.zip", files()),
    )
    common = ("--min-images", 5, "--val-per-class", 2, "--size", 16, "--samples-per-shard", 7, "--workers", 1)
    found = []
    for raw in raws:
        work, out = tmp_path / f"work-{raw.name}", tmp_path / f"out-{raw.name}"
        call("run", raw, work, out, *common, *options)
        found.append(digests(out, "*/*.tar") | digests(out, "*.parquet"))
    assert len(found[0]) > 6
    assert [each == found[0] for each in found] == [True] * len(raws)

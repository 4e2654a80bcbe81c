import dataclasses
import json
import re

import pytest

from in21k.shards_manifest.datasheet import datasheet
from in21k.shards_manifest.manifest import read_manifest
from in21k.shards_manifest.storage.location import locate


def tables(text):
    """Return the rows of all tables of a Markdown text, by the heading above them."""
    found, heading = {}, ""
    for line in text.splitlines():
        if line.startswith("#"):
            heading = line.strip("# ")
        elif line.startswith("| ") and "---" not in line:
            found.setdefault(heading, []).append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def plain(cell):
    return re.sub(r"\\(.)", r"\1", cell)


@pytest.fixture(scope="module")
def sheet(dataset):
    return (dataset.out / "README.md").read_text(encoding="utf-8")


def numbers_in(value):
    """Return every number in a manifest, and the sums over its shards."""
    if isinstance(value, dict):
        return set().union(*map(numbers_in, value.values())) if value else set()
    if isinstance(value, list):
        return set().union(*map(numbers_in, value)) if value else set()
    return {value} if isinstance(value, int) else set()


def test_every_number_is_from_the_manifest(dataset, sheet):
    manifest = dataset.manifest
    allowed = numbers_in(json.loads(manifest.to_json()))
    for split, shards in manifest.splits.items():
        allowed |= {len(shards), manifest.samples(split), sum(shard.bytes for shard in shards)}
    written = sheet.split("---\n", 2)[2].split("## Reading it")[0]
    for word in (*manifest.versions.values(), *manifest.source.values(), "SHA-256", "ImageNet-21K", "WordNet 3.0"):
        written = written.replace(str(word), "")
    written = "\n".join(line for line in written.splitlines() if not line.startswith("3.0 wnids"))
    found = {int(number.replace(",", "")) for number in re.findall(r"(?<![\w.])\d[\d,]*\b", written)}
    assert len(found) > 10
    assert found <= allowed


def test_tables_say_what_the_manifest_says(dataset, sheet):
    manifest, found = dataset.manifest, tables(sheet)
    assert {plain(name): plain(value) for name, value in found["Versions"][1:]} == manifest.versions
    steps = {step: (classes, images) for step, classes, images in found["What became of the images"][1:]}
    counts = {name: f"{value:,}" for name, value in manifest.counts.items()}
    assert steps["In the raw dump"] == (counts["classes_raw"], counts["images_raw"])
    assert steps["Kept by `filter`"] == (counts["classes_kept"], counts["images_kept"])
    assert steps["Rejected by `resize`"] == ("", counts["rejected_resize"])
    assert steps["Training samples"][1] == counts["train"]
    parameters = {(stage, plain(name)): plain(value) for stage, name, value in found["Parameters"][1:]}
    assert parameters["split", "val per class"] == "3"
    assert parameters["shard", "samples per shard"] == "7"
    assert len(parameters) == sum(map(len, manifest.parameters.values()))


def test_counts_add_up(dataset):
    counts = dataset.manifest.counts
    kept = counts["train"] + counts["val"] + counts["rejected_split"] + counts["rejected_resize"]
    assert counts["images_kept"] == kept
    for what in ("classes", "images"):
        dropped = counts[f"{what}_too_few_images"] + counts[f"{what}_unknown_wnid"]
        assert counts[f"{what}_raw"] == counts[f"{what}_kept"] + dropped
    assert counts["rejected"] == sum(counts[f"rejected_{stage}"] for stage in ("filter", "split", "resize"))


def test_it_names_terms_and_papers(sheet):
    for words in ("non-commercial research", "Masses", "Large-Scale Hierarchical Image Database", "Lexical Database"):
        assert words in sheet


def test_front_matter_lists_the_splits(sheet):
    yaml = pytest.importorskip("yaml")
    front = yaml.safe_load(sheet.split("---\n")[1])
    (config,) = front["configs"]
    assert config["data_files"] == [
        {"split": "train", "path": "train/*.tar"},
        {"split": "validation", "path": "val/*.tar"},
    ]
    assert front["size_categories"] == ["n<1K"]


def test_names_from_the_dump_cannot_break_the_table(dataset):
    source = {**dataset.manifest.source, "name": "a|b\n# <script>"}
    text = datasheet(dataclasses.replace(dataset.manifest, source=source)).decode()
    assert r"a\|b \# \<script\>" in text
    assert "<script>" not in text


def test_a_dataset_without_val_has_one_split(dataset):
    manifest = dataclasses.replace(dataset.manifest, splits={**dataset.manifest.splits, "val": ()})
    assert "split: validation" not in datasheet(manifest).decode()


def test_old_manifests_have_a_datasheet_too(request):
    folder = request.path.parent / "manifests" / "version-1"
    text = datasheet(read_manifest(locate(folder))).decode()
    assert "29,133" in text

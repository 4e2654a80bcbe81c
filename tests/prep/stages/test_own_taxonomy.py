"""Datasets whose taxonomy is no WordNet: from folders, from a file of edges, and without a tree."""

import hashlib
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from commands import RefusedError, call, digests, one_line, prep
from own_trees import OPTIONS, STRANGE, draw_folders

from in21k.prep.demo.shapes import draw_shapes
from in21k.shards_manifest.manifest import SPLITS, read_manifest
from in21k.shards_manifest.sample_table import SampleTable
from in21k.shards_manifest.storage.location import locate


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    """A dump of 4 ranks as folders and as a tar, each with its file of edges, and a dataset made of each."""
    folder = tmp_path_factory.mktemp("shapes")
    for name in ("shapes", "tarred.tar"):
        draw_shapes(folder / name, species=10, images_per_species=5)
    prepare(folder, "shapes", "edges", "--edges", folder / "shapes.csv")
    prepare(folder, "shapes", "folders", "--edges-from-folders")
    prepare(folder, "tarred.tar", "tarred", "--edges-from-folders")
    prepare(folder, "tarred.tar", "flat", "--flat")
    return folder


def prepare(folder: Path, raw: str, name: str, *options):
    return call("run", folder / raw, folder / f"work-{name}", folder / name, *OPTIONS, *options)


def tree_of(dataset: Path) -> dict[str, dict]:
    return {row["wnid"]: row for row in pq.read_table(dataset / "hierarchy.parquet").to_pylist()}


def images_of(dataset: Path) -> dict[tuple[str, str], list[str]]:
    """Return the digests of the images of each split and label."""
    manifest, labels = read_manifest(locate(dataset)), list(tree_of(dataset))
    table = SampleTable(locate(dataset), manifest)
    found: dict[tuple[str, str], list[str]] = {}
    for split in SPLITS:
        for number, shard in enumerate(manifest.splits[split]):
            content = (dataset / shard.path).read_bytes()
            for row in table.rows(split, number).to_pylist():
                image = content[row["offset"] + 512 :][: row["image_bytes"]]
                found.setdefault((split, labels[row["class_index"]]), []).append(hashlib.sha256(image).hexdigest())
    return {key: sorted(images) for key, images in found.items()}


@pytest.mark.parametrize("name", ["edges", "folders", "tarred", "flat"])
def test_a_dataset_of_any_taxonomy_is_sound(shapes, name):
    assert call("verify", shapes / name, "--deep")["findings"] == []


def test_folders_and_edges_give_the_same_dataset_but_for_the_form_of_labels(shapes):
    paths, names = tree_of(shapes / "folders"), tree_of(shapes / "edges")
    last = {path: path.rpartition("/")[2] for path in paths}
    assert sorted(last.values()) == sorted(names)
    for path, row in paths.items():
        twin = names[last[path]]
        assert row["level"] == twin["level"] == path.count("/")
        assert twin["parent_wnid"] == (last[row["parent_wnid"]] if row["parent_wnid"] else None)
        assert [row["images_train"], row["images_val"]] == ([4, 1] if row["level"] == 3 else [0, 0])
    by_path, by_name = images_of(shapes / "folders"), images_of(shapes / "edges")
    assert {(split, last[path]): images for (split, path), images in by_path.items()} == by_name


def test_a_tar_of_folders_gives_the_same_bytes_as_the_folders(shapes):
    ours, tars = (digests(shapes / name) for name in ("folders", "tarred"))
    differing = {name for name in ours if ours[name] != tars[name]}
    assert differing == {"manifest.json", "README.md"}  # which name the source


@pytest.mark.parametrize(("name", "options"), [("folders", ["--edges-from-folders"]), ("edges", ["--edges"])])
def test_a_zip_of_folders_gives_the_same_bytes_as_the_folders(shapes, tmp_path, name, options):
    shutil.make_archive(str(tmp_path / "raw"), "zip", shapes / "shapes")
    edges = [shapes / "shapes.csv"] if name == "edges" else []
    call("run", tmp_path / "raw.zip", tmp_path / "work", tmp_path / "out", *OPTIONS, *options, *edges)
    ours, zipped = digests(shapes / name), digests(tmp_path / "out")
    assert {path for path in ours if ours[path] != zipped[path]} == {"manifest.json", "README.md"}


def test_without_a_tree_all_classes_are_roots(shapes):
    tree = tree_of(shapes / "flat")
    assert len(tree) == 10
    assert {(row["level"], row["name"] == label) for label, row in tree.items()} == {(0, True)}
    assert images_of(shapes / "flat") == images_of(shapes / "edges")


def test_names_come_from_the_file_or_are_the_folders(shapes):
    assert tree_of(shapes / "edges")["Wavy triangle"]["path_names"] == "Wavy > triangle"
    assert tree_of(shapes / "folders")["Wavy/Wavy triangle"]["path_names"] == "Wavy > Wavy triangle"
    metadata = pq.read_schema(shapes / "edges" / "hierarchy.parquet").metadata
    assert (metadata[b"in21k.source"], metadata[b"in21k.parents"]) == (b"shapes.csv", b"first")


def test_the_tree_of_a_dataset_is_its_own(shapes, tmp_path):
    call("tree", shapes / "edges", "--output", tmp_path / "tree.parquet")
    assert pq.read_table(tmp_path / "tree.parquet").equals(pq.read_table(shapes / "edges" / "hierarchy.parquet"))


@pytest.mark.parametrize("raw", ["shapes", "tarred.tar", "list.txt"])
def test_a_tree_is_made_of_the_folders_of_a_dump_or_of_a_list_of_paths(shapes, tmp_path, raw):
    paths = [label for label in tree_of(shapes / "folders") if label.count("/") == 3]
    (shapes / "list.txt").write_text("\n".join(paths))
    call("tree", shapes / raw, "--edges-from-folders", "--output", tmp_path / "tree.parquet")
    columns, made_by_run = ["wnid", "name", "parent_wnid", "level"], shapes / "folders" / "hierarchy.parquet"
    made, theirs = (pq.read_table(path, columns=columns) for path in (tmp_path / "tree.parquet", made_by_run))
    assert made.equals(theirs)


def test_a_flat_tree_has_one_level(shapes, tmp_path):
    summary = call("tree", shapes / "tarred.tar", "--flat", "--output", tmp_path / "flat.parquet")
    assert (summary["classes"], summary["levels"]) == (10, 1)
    assert call("tree", "in1k", "--flat", "--output", tmp_path / "flat.parquet")["classes_per_level"] == [1000]


def test_the_manifest_and_the_datasheet_do_not_speak_of_wordnet(shapes):
    manifest = json.loads((shapes / "edges" / "manifest.json").read_text())
    assert manifest["parameters"]["filter"]["taxonomy"] == "edges"
    assert "wordnet" not in manifest["versions"]
    counts = {name: manifest["counts"][name] for name in ("classes_raw", "classes_kept", "classes_ancestor")}
    assert counts == {"classes_raw": 10, "classes_kept": 10, "classes_ancestor": len(tree_of(shapes / "edges")) - 10}
    sheet = (shapes / "edges" / "README.md").read_text()
    assert "image-net.org" not in sheet
    assert "WordNet" not in sheet


def test_later_stages_do_not_need_the_file_of_edges(shapes, tmp_path):
    edges = shutil.copy(shapes / "shapes.csv", tmp_path)
    work = tmp_path / "work"
    call("filter", shapes / "shapes", work, "--edges", edges, "--min-images", 4)
    Path(edges).unlink()
    call("split", work, "--val-per-class", 1)
    call("resize", work, "--size", 16, "--workers", 1)
    call("shard", work, tmp_path / "out", "--samples-per-shard", 40, "--workers", 1)
    assert digests(tmp_path / "out") == digests(shapes / "edges")


def test_a_work_folder_keeps_to_its_taxonomy(shapes, tmp_path):
    other = tmp_path / "shapes.csv"
    other.write_text((shapes / "shapes.csv").read_text().replace("Wavy disk,Wavy,", "Wavy disk,,"))
    work = shapes / "work-edges"
    for options, words in (
        (("--edges", other), "edges_sha256"),
        (("--edges", shapes / "shapes.csv", "--parents", "shortest"), "parents 'published', not 'shortest'"),
        (("--flat",), "taxonomy 'edges', not 'flat'"),
        ((), "taxonomy 'edges', not None"),
    ):
        with pytest.raises(RefusedError, match=words):
            call("filter", shapes / "shapes", work, "--min-images", 4, *options)
    with pytest.raises(RefusedError, match="filter was done with --parents published, not shortest"):
        call("shard", work, tmp_path / "out", "--parents", "shortest")


def test_the_order_of_rows_and_a_byte_order_mark_make_no_other_taxonomy(shapes, tmp_path):
    header, *rows = (shapes / "shapes.csv").read_text().splitlines()
    (tmp_path / "edges.csv").write_text("\ufeff" + "\r\n".join([header, *reversed(rows)]), encoding="utf-8")
    call("filter", shapes / "shapes", shapes / "work-edges", "--min-images", 4, "--edges", tmp_path / "edges.csv")


def test_a_damaged_table_of_edges_is_refused(shapes, tmp_path):
    work = shutil.copytree(shapes / "work-edges", tmp_path / "work")
    table = pq.read_table(work / "taxonomy.parquet")
    pq.write_table(table.slice(1), work / "taxonomy.parquet")
    with pytest.raises(RefusedError, match=r"taxonomy.parquet is not what filter wrote"):
        call("shard", work, tmp_path / "out")
    pq.write_table(table.replace_schema_metadata({}), work / "taxonomy.parquet")
    with pytest.raises(RefusedError, match=r"taxonomy.parquet does not name the file"):
        call("shard", work, tmp_path / "out")
    (work / "taxonomy.parquet").write_bytes(b"PAR1")
    with pytest.raises(RefusedError, match=r"taxonomy.parquet is not a"):
        call("shard", work, tmp_path / "out")


@pytest.mark.parametrize(("old", "new"), [('"edges"', '"a tree"'), ('"edges_sha256"', '"other"'), ('"published"', "3")])
def test_a_record_that_names_no_taxonomy_is_refused(shapes, tmp_path, old, new):
    work = shutil.copytree(shapes / "work-edges", tmp_path / "work")
    record = (work / "filter.json").read_text()
    (work / "filter.json").write_text(record.replace(old, new))
    with pytest.raises(RefusedError, match=r"filter.json names no taxonomy .*; use another work folder"):
        call("shard", work, tmp_path / "out")


def test_a_dataset_of_another_taxonomy_is_repaired_byte_for_byte(shapes, tmp_path):
    out = shutil.copytree(shapes / "edges", tmp_path / "out")
    before = digests(out)
    for name in ("hierarchy.parquet", "classes.parquet", "README.md", "train/in21k-train-000000.tar"):
        (out / name).write_bytes((out / name).read_bytes()[:-7])
    call("repair", shapes / "work-edges", out, "--workers", 1)
    assert digests(out) == before


def reasons_of(work: Path) -> dict[str, tuple[str, int]]:
    rows = pq.read_table(work / "classes.parquet").to_pylist()
    return {row["wnid"]: (row["reason"], row["class_index"]) for row in rows}


def test_what_lies_above_a_kept_class_is_a_class_even_if_its_own_images_are_too_few(tmp_path):
    raw = draw_folders(tmp_path / "raw", ["pets/cats", "pets/dogs/terriers", "wild/wolves"])
    draw_folders(tmp_path / "few", ["pets/dogs"], images=2)
    for image in (tmp_path / "few/pets/dogs").iterdir():
        shutil.copy(image, raw / "pets/dogs")
    shutil.rmtree(raw / "wild/wolves")
    draw_folders(raw, ["wild/wolves"], images=3)
    counts = call("filter", raw, tmp_path / "work", "--edges-from-folders", "--min-images", 4)
    assert reasons_of(tmp_path / "work") == {
        "pets": ("ancestor", 0),
        "pets/cats": ("kept", 1),
        "pets/dogs": ("ancestor", 2),
        "pets/dogs/terriers": ("kept", 3),
        "wild/wolves": ("too-few-images", -1),
    }
    assert (counts["classes"], counts["classes_kept"], counts["classes_ancestor"]) == (4, 2, 2)
    call("run", raw, tmp_path / "work", tmp_path / "out", *OPTIONS, "--edges-from-folders")
    assert call("verify", tmp_path / "out", "--deep")["findings"] == []
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())["counts"]
    assert manifest["images_raw"] == 8 + 2 + 3
    assert (manifest["images_kept"], manifest["images_ancestor"], manifest["images_too_few_images"]) == (8, 2, 3)
    assert manifest["classes_short_of_val"] == 0


def test_labels_that_the_edges_lack_are_dropped_and_found(tmp_path):
    raw = draw_folders(tmp_path / "raw", ["cats", "dogs", "zebras", "lone"])
    (tmp_path / "pets.csv").write_text("child,parent\ncats,pets\ndogs,pets\ndogs,animals\nlone,\n")
    found = call("filter", raw, tmp_path / "work", "--edges", tmp_path / "pets.csv", "--min-images", 4)["findings"]
    assert [(finding["code"], finding["subject"]) for finding in found] == [
        ("W709", "zebras"),
        ("W702", "dogs"),
        ("W704", "lone"),
    ]
    assert reasons_of(tmp_path / "work")["zebras"] == ("unknown-label", -1)
    printed = prep("run", raw, tmp_path / "work", tmp_path / "out", *OPTIONS, "--edges", tmp_path / "pets.csv")
    assert "note: findings: 1 W702, 1 W704, 1 W709" in printed.stderr
    assert "4 images are dropped; pets.csv lacks it" in printed.stderr


@pytest.mark.parametrize(("rule", "above"), [("published", "pets"), ("shortest", "animals")])
def test_the_rule_for_several_parents_decides_which_classes_lie_above(tmp_path, rule, above):
    raw = draw_folders(tmp_path / "raw", ["cats", "dogs"])
    (tmp_path / "e.csv").write_text("child,parent\ncats,tame\ndogs,pets\ndogs,animals\npets,tame\ntame,animals\n")
    options = ("--edges", tmp_path / "e.csv", "--parents", rule)
    call("run", raw, tmp_path / "work", tmp_path / "out", *OPTIONS, *options)
    tree = tree_of(tmp_path / "out")
    assert tree["dogs"]["parent_wnid"] == above
    assert ("pets" in tree) == (above == "pets")
    assert tree["dogs"]["wordnet_parents"] == ["pets", "animals"]


def test_a_subtree_of_any_taxonomy_is_selected(shapes, tmp_path):
    work = tmp_path / "work"
    edges = ("--edges", shapes / "shapes.csv", "--min-images", 4)
    call("filter", shapes / "shapes", work, *edges, "--exclude-subtree", "Wavy triangle", "--exclude", "Tiled")
    kept = {label for label, (reason, _) in reasons_of(work).items() if reason in ("kept", "ancestor")}
    assert not any("Wavy" in label and "triangle" in label for label in kept)
    assert "Tiled" not in kept
    assert "Wavy" in kept


def test_strange_labels_go_all_the_way(tmp_path):
    raw = draw_folders(tmp_path / "raw", STRANGE)
    run = prep("run", raw, tmp_path / "work", tmp_path / "out", *OPTIONS, "--flat")
    assert run.returncode == 0, run.stderr
    assert list(tree_of(tmp_path / "out")) == sorted(STRANGE, key=str.encode)
    assert call("verify", tmp_path / "out", "--deep")["findings"] == []
    manifest = read_manifest(locate(tmp_path / "out"))
    table = SampleTable(locate(tmp_path / "out"), manifest)
    keys = [key for split in SPLITS for at in range(len(manifest.splits[split])) for key in table.keys(split, at)]
    assert len({key.lower() for key in keys}) == len(keys) == 4 * len(STRANGE)
    assert all("." not in key for key in keys)
    lists = [(tmp_path / "out" / name).read_text() for name in ("synsets.txt", "classes.txt")]
    assert {text.count("\n") for text in lists} == {len(STRANGE)}
    report = prep("report", tmp_path / "out", "--output", tmp_path / "report")
    assert (report.returncode, report.stderr) == (0, "")
    for label in STRANGE:
        facts = call("inspect", tmp_path / "out", "--class", label, "--save", tmp_path / "saved")
        assert (facts["wnid"], facts["images_train"], facts["images_val"]) == (label, 3, 1)


def test_strange_folders_and_edges_are_the_same_tree(tmp_path):
    usable = [label for label in STRANGE if label == label.strip()]
    raw = draw_folders(tmp_path / "raw", [f"{'y' * 200}/{label}" for label in usable])
    rows = [("child", "parent"), *((label, "y" * 200) for label in usable)]
    quoted = "\n".join(",".join('"' + field.replace('"', '""') + '"' for field in row) for row in rows)
    (tmp_path / "edges.csv").write_text(quoted, encoding="utf-8", newline="")
    for name, options in (("folders", ["--edges-from-folders"]), ("edges", ["--edges", tmp_path / "edges.csv"])):
        call("run", raw, tmp_path / f"work-{name}", tmp_path / name, *OPTIONS, *options)
        assert call("verify", tmp_path / name, "--deep")["findings"] == []
    assert {label.rpartition("/")[2] for label in tree_of(tmp_path / "folders")} == set(tree_of(tmp_path / "edges"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("child,parent\na,b\nb,a\n", "E701 a: a cycle of 2: a > b > a"),
        ("child,parent\na\n", "E705 row 2: 1 fields"),
        ("child,parent,name\na,b\n", "E705 row 2: 2 fields"),
        ("", "the file is empty"),
        ("child,parent\n", "has no edges"),
        (
            "label;parent\na;b\n",
            "must be child,parent, child,parent,name or child,parent,name,gloss, not 'label;parent'",
        ),
        ("child,parent\nother,thing\n", "none of its 1 classes has 4 images and a label of edges.csv"),
    ],
)
def test_a_file_of_edges_that_cannot_be_used_is_one_line(tmp_path, content, words):
    raw = draw_folders(tmp_path / "raw", ["cats"])
    (tmp_path / "edges.csv").write_text(content)
    run = prep("run", raw, tmp_path / "work", tmp_path / "out", *OPTIONS, "--edges", tmp_path / "edges.csv")
    assert words in one_line(run)


def test_the_ways_to_name_a_taxonomy_exclude_each_other(tmp_path):
    raw = draw_folders(tmp_path / "raw", ["cats"])
    run = prep("run", raw, tmp_path / "work", tmp_path / "out", "--flat", "--edges-from-folders")
    assert "--edges-from-folders and --flat exclude each other" in one_line(run, 2)
    assert not (tmp_path / "work").exists()

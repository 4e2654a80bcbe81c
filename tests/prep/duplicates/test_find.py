"""in21k-prep duplicates, on a dump with planted copies of every kind."""

import html
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import RefusedError, call, digests, one_line, prep
from dumps import encode, make_dump, photo, tar_bytes
from PIL import Image, ImageOps

from in21k.prep.duplicates import pairs as pairs_module

DOG, COW = "n02084071", "n01887787"
SIZE = (320, 240)


def picture(number: int) -> Image.Image:
    return photo(number, SIZE)


def cropped(image: Image.Image) -> Image.Image:
    return image.crop((16, 0, *SIZE)).crop((0, 12, SIZE[0] - 16, SIZE[1]))


COPIES = {
    "file": lambda image: encode(image, quality=90),
    "encoded": lambda image: encode(image, quality=60),
    "half": lambda image: encode(image.resize((SIZE[0] // 2, SIZE[1] // 2)), "PNG"),
    "mirrored": lambda image: encode(ImageOps.mirror(image), quality=90),
    "cropped": lambda image: encode(cropped(image), quality=90),
    "cropped-mirrored": lambda image: encode(ImageOps.mirror(cropped(image)), quality=90),
}
LIKENESS = {"file": "same", "encoded": "same", "half": "same"}


def prepare(folder, classes, *options):
    make_dump(folder / "raw.tar", classes)
    options = ("--min-images", 2, "--val-per-class", 2, "--size", 64, "--workers", 1, *options)
    call("run", folder / "raw.tar", folder / "work", folder / "out", *options)
    return folder / "out"


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A dataset of dogs and cows, in which cows are copies of dogs; two dogs are equal."""
    dogs = [(f"{DOG}_{number:02}.JPEG", encode(picture(number), quality=90)) for number in range(10)]
    dogs.append((f"{DOG}_twin.JPEG", dogs[5][1]))
    cows = [(f"{COW}_{kind}.JPEG", copy(picture(number))) for number, (kind, copy) in enumerate(COPIES.items())]
    cows += [(f"{COW}_{number}.JPEG", encode(picture(100 + number))) for number in range(4)]
    return prepare(tmp_path_factory.mktemp("planted"), {DOG: dogs, COW: cows})


def rows(folder):
    return pq.read_table(folder / "duplicates.parquet").to_pylist()


def test_planted_copies_of_every_kind_are_found_and_nothing_else(planted, tmp_path):
    before = digests(planted)
    summary = call("duplicates", planted, "--output", tmp_path / "found")
    found = {tuple(sorted((row["first_key"], row["second_key"]))): row for row in rows(tmp_path / "found")}
    wanted = {(f"{COW}_{kind}", f"{DOG}_{number:02}"): kind for number, kind in enumerate(COPIES)}
    assert set(found) == {*wanted, (f"{DOG}_05", f"{DOG}_twin"), (f"{COW}_cropped-mirrored", f"{DOG}_twin")}
    for pair, kind in wanted.items():
        assert found[pair]["likeness"] == LIKENESS.get(kind, kind.replace("cropped-m", "cropped-and-m"))
        assert found[pair]["same_file"] == (kind == "file")
        assert (found[pair]["kind"], found[pair]["second_set"]) == ("across-classes", None)
        assert found[pair]["tree_distance"] == call_distance(planted)
        assert found[pair]["train_val"] == (found[pair]["first_split"] != found[pair]["second_split"])
    assert (summary["pairs"], summary["within_class"], summary["across_classes"]) == (8, 1, 7)
    assert (summary["same_file"], summary["mirrored"], summary["cropped"]) == (2, 3, 3)
    assert digests(planted) == before


def call_distance(dataset):
    from in21k.tree.table import read_hierarchy

    return int(read_hierarchy(dataset / "hierarchy.parquet", "").tree_distance([0], [1])[0])


@pytest.mark.parametrize("kind", ["folder", "tar", "tar of tars", "dataset", "old dataset"])
def test_other_sets_are_compared(planted, tmp_path, kind):
    files = {f"some/{number}.jpg": copy(picture(number)) for number, copy in enumerate(COPIES.values())}
    files |= {"some/none.txt": b"text", "some/broken.jpg": b"no image", "some/<b>&.png": encode(picture(7), "PNG")}
    other = tmp_path / "other"
    if kind == "folder":
        for name, content in files.items():
            (other / name).parent.mkdir(parents=True, exist_ok=True)
            (other / name).write_bytes(content)
    elif kind.startswith("tar"):
        other = tmp_path / "other.tar"
        content = tar_bytes(list(files.items()))
        other.write_bytes(content if kind == "tar" else tar_bytes([("inner.tar", content)]))
    else:
        other.mkdir()
        members = [(f"{COW}_{name.rpartition('/')[2]}".replace(".jpg", ".JPEG"), data) for name, data in files.items()]
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        other = prepare(other, {COW: members})
        if kind == "old dataset":
            drop_fingerprints(other)
    summary = call("duplicates", planted, "--against", other, "--output", tmp_path / "found", "--workers", 1)
    against = [row for row in rows(tmp_path / "found") if row["kind"] == "against"]
    assert {row["first_key"] for row in against} >= {f"{DOG}_{number:02}" for number in (0, 1, 2, 3, 4, 5, 7)}
    assert {row["second_set"] for row in against} == {str(other)}
    assert {row["second_split"] for row in against} == {None}
    assert summary["against"] == len(against)
    assert summary["other_images"] == (7 if "dataset" in kind else 8)
    assert len(summary["findings"]) == ("dataset" not in kind)
    assert all("1 images cannot be read" in finding and "broken.jpg" in finding for finding in summary["findings"])


def drop_fingerprints(dataset):
    """Make the dataset one of an older version: its sample table has no fingerprints."""
    from damage import reseal

    path = dataset / "samples.parquet"
    groups = [pq.ParquetFile(path).read_row_group(at) for at in range(pq.ParquetFile(path).num_row_groups)]
    groups = [group.drop_columns(["phash", "crop_phashes", "file_digest"]) for group in groups]
    with pq.ParquetWriter(path, groups[0].schema, compression="zstd") as writer:
        for group in groups:
            writer.write_table(group)
    reseal(dataset)
    call("sidecars", dataset)


def test_a_dataset_without_fingerprints_is_hashed_from_its_shards(planted, tmp_path):
    old = shutil.copytree(planted, tmp_path / "old")
    drop_fingerprints(old)
    call("duplicates", planted, "--output", tmp_path / "new-found")
    call("duplicates", old, "--output", tmp_path / "old-found", "--workers", 1)
    pairs = [
        {frozenset((row["first_key"], row["second_key"])) for row in rows(tmp_path / name)}
        for name in ("new-found", "old-found")
    ]
    assert pairs[0] == pairs[1]
    assert call("verify", old)["sound"]


def test_names_are_plain_text_on_the_page_and_pictures_are_there(planted, tmp_path):
    other = tmp_path / "x"
    other.mkdir()
    (other / "<script>alert(1)<script>.jpg").write_bytes(encode(picture(0)))
    call("duplicates", planted, "--against", other, "--output", tmp_path / "found", "--workers", 1)
    page = (tmp_path / "found" / "duplicates.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert html.escape("<script>alert(1)<script>.jpg") in page
    assert page.count("<img ") == 2 * page.count("<figure>")
    assert "Content-Security-Policy" in page


def test_a_picture_that_is_everywhere_is_a_group_not_all_pairs(tmp_path, monkeypatch):
    monkeypatch.setattr(pairs_module, "MOST_OF_GROUPS", 30)
    same = encode(picture(3))
    dogs = [(f"{DOG}_{number:02}.JPEG", same) for number in range(20)]
    plain = [(f"{COW}_{number}.PNG", encode(Image.new("RGB", SIZE, (number, 9, 9)), "PNG")) for number in range(4)]
    out = prepare(tmp_path, {DOG: dogs, COW: plain})
    summary = call("duplicates", out, "--output", tmp_path / "found")
    assert summary["pairs"] == 19
    (finding,) = summary["findings"]
    assert finding.startswith("20 images have the same hash")
    assert "Large groups" in (tmp_path / "found" / "duplicates.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("crops", [True, False])
def test_crops_may_be_left_out(planted, tmp_path, crops):
    found = call("duplicates", planted, "--output", tmp_path / "found", *([] if crops else ["--no-crops"]))
    assert (found["cropped"] > 0) == crops


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--distance", 13), "--distance 13: give 0 to 12 bits"),
        (("--against", "{tmp}/none"), "none holds no images"),
        (("--against", "{tmp}/file.zip"), "give a folder, a prepared dataset, or an uncompressed tar"),
        (("--against", "{tmp}/cut.tar"), "cut.tar is not a whole tar"),
        (("--output", "{out}/found"), "lies in the dataset"),
        (("--output", "{tmp}/run"), "holds metrics.csv of a training run; give another --output"),
        (("--workers", 0), "--workers 0"),
    ],
)
def test_what_a_user_gave_wrong_is_one_line(planted, tmp_path, arguments, message):
    (tmp_path / "none").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.csv").write_text("")
    (tmp_path / "file.zip").write_bytes(b"PK")
    (tmp_path / "cut.tar").write_bytes(tar_bytes([("a.jpg", encode(picture(1)))])[:2000])
    given = [str(each).format(tmp=tmp_path, out=planted) for each in arguments]
    with pytest.raises(RefusedError) as refused:
        call("duplicates", planted, *([] if "--output" in given else ["--output", tmp_path / "found"]), *given)
    assert message in str(refused.value)
    assert not (tmp_path / "found").exists()


@pytest.mark.parametrize("column", ["phash", "crop_phashes", "key"])
def test_a_damaged_sample_table_is_one_line(planted, tmp_path, column):
    out = shutil.copytree(planted, tmp_path / "out")
    path = out / "samples.parquet"
    table = pq.read_table(path)
    words = pa.array(["word"] * len(table)).dictionary_encode() if column == "key" else pa.array(["x"] * len(table))
    words = pa.array([None] * len(table), pa.string()) if column == "key" else words
    changed = table.set_column(table.column_names.index(column), column, words)
    lengths = [
        pq.ParquetFile(path).metadata.row_group(at).num_rows for at in range(pq.ParquetFile(path).num_row_groups)
    ]
    with pq.ParquetWriter(path, changed.schema) as writer:
        start = 0
        for length in lengths:
            writer.write_table(changed.slice(start, length))
            start += length
    line = one_line(prep("duplicates", out, "--output", tmp_path / "found"))
    assert "samples.parquet" in line
    assert not list((tmp_path / "found").glob("*"))

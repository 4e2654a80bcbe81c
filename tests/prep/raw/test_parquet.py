import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import RefusedError, call, digests
from dumps import KEPT, PIPELINE, TRUNCATED, images_of, jpeg, make_dump
from forms import parquet_files

pytestmark = pytest.mark.usefixtures("inline")

FILES = {wnid: images_of(wnid, count) for wnid, count in KEPT.items()}


def prepare(raw, folder, *options):
    call("run", raw, folder / "work", folder / "out", *PIPELINE, "--workers", 1, *options)
    return folder / "out"


def content(out):
    return digests(out, "*/*.tar") | digests(out, "*.parquet")


def spoiled(files):
    return {
        wnid: [(name, TRUNCATED if "_1." in name else data) for name, data in images] for wnid, images in files.items()
    }


@pytest.mark.parametrize("files", [FILES, spoiled(FILES)], ids=["sound", "bad images"])
def test_parquet_files_give_the_bytes_of_a_dump_stored_by_class(files, tmp_path):
    by_class = prepare(make_dump(tmp_path / "raw.tar", files), tmp_path / "by-class")
    assert content(prepare(parquet_files(tmp_path / "hub/data", files).parent, tmp_path / "folder")) == content(
        by_class
    )
    assert content(prepare(tmp_path / "hub/data/train-*.parquet", tmp_path / "pattern")) == content(by_class)


def test_validation_files_stay_val(tmp_path):
    parquet_files(tmp_path / "hub", {wnid: images[4:] for wnid, images in FILES.items()})
    val = {wnid: images[:4] for wnid, images in FILES.items()}
    parquet_files(tmp_path / "val", val, count=1)
    (tmp_path / "val/train-00000-of-00001.parquet").rename(tmp_path / "hub/validation-00000-of-00001.parquet")
    out = prepare(tmp_path / "hub", tmp_path)
    rows = pq.read_table(out / "samples.parquet", columns=["split", "key"]).to_pylist()
    of_val = {row["key"] for row in rows if row["split"] == "val"}
    assert of_val == {name.removesuffix(".JPEG") for images in val.values() for name, _ in images}


def listed(folder, table, *options):
    """Write a table, list it, and return the class of each name and the names of the rejects."""
    folder.mkdir()
    pq.write_table(table, folder / "some.parquet")
    call("filter", folder / "some.parquet", folder / "work", "--min-images", 1, *options)
    rows = pq.read_table(folder / "work/images.parquet", columns=["wnid", "name"]).to_pylist()
    rejects = pq.read_table(folder / "work/filter-rejects.parquet")["name"].to_pylist()
    return {row["name"]: row["wnid"] for row in rows}, rejects


def structs(*names):
    return pa.array(
        [{"bytes": jpeg(number), "path": name} for number, name in enumerate(names)],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )


def test_labels_are_texts_or_numbers_or_wnids_in_the_names(tmp_path):
    texts = pa.table({"img": pa.array([jpeg(1), jpeg(2)]), "label": ["n02084071", "n09450163"]})
    assert listed(tmp_path / "texts", texts) == ({"some-0": "n02084071", "some-1": "n09450163"}, [])
    names = pa.table({"image": structs("n02084071_1.JPEG", "../x/n09450163/2.png", "3.png")})
    assert listed(tmp_path / "names", names) == (
        {"n02084071_1.JPEG": "n02084071", "2.png": "n09450163"},
        ["3.png"],
    )
    (tmp_path / "list.txt").write_text("n09450163\nn02084071\n")
    numbers = pa.table({"image": structs("a.png", "b.png", "c.png", "d.png"), "label": [1, 0, 2, None]})
    assert listed(tmp_path / "numbers", numbers, "--class-list", tmp_path / "list.txt") == (
        {"a.png": "n02084071", "b.png": "n09450163"},
        ["c.png", "d.png"],
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"image": structs("a.png"), "label": [1]}), r"images with numbers such as 1, .* --class-list"),
        (pa.table({"text": ["a"], "label": [1]}), "has no column of images"),
        (pa.table({"image": [b"a"], "other": [1]}), r"has no column of labels, such as `label`; .* image, other"),
    ],
)
def test_a_table_that_says_too_little_is_refused(table, message, tmp_path):
    with pytest.raises(RefusedError, match=rf"some\.parquet.* {message}"):
        listed(tmp_path / "raw", table)


def damaged(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at : at + 200] = bytes(200)
    path.write_bytes(content)


def test_a_file_cut_short_is_named(tmp_path):
    parquet_files(tmp_path / "hub", FILES)
    path = tmp_path / "hub/train-00001-of-00003.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RefusedError, match=r"train-00001-of-00003\.parquet is cut short, damaged or no Parquet file"):
        prepare(tmp_path / "hub", tmp_path)


def test_rows_that_cannot_be_read_and_rows_without_bytes_are_rejects(tmp_path):
    parquet_files(tmp_path / "hub", FILES, count=1, rows_per_group=10)
    path = tmp_path / "hub/train-00000-of-00001.parquet"
    group = pq.ParquetFile(path).metadata.row_group(1)
    chunk = next(
        group.column(at) for at in range(group.num_columns) if group.column(at).path_in_schema == "image.bytes"
    )
    damaged(path, chunk.data_page_offset or chunk.dictionary_page_offset)
    damaged(path, chunk.dictionary_page_offset or chunk.data_page_offset)
    summary = call("run", tmp_path / "hub", tmp_path / "work", tmp_path / "out", *PIPELINE, "--workers", 1)
    assert summary["rejected"] == 10
    reasons = pq.read_table(tmp_path / "out/rejects.parquet")["reason"].to_pylist()
    assert set(reasons) == {"damaged"}
    nothing = pa.table(
        {
            "image": pa.array([{"bytes": None, "path": "a.png"}] + [{"bytes": jpeg(1), "path": "b.png"}] * 11),
            "label": ["n02084071"] * 12,
        }
    )
    pq.write_table(nothing.slice(0, 2), tmp_path / "null.parquet")
    call("filter", tmp_path / "null.parquet", tmp_path / "w2", "--min-images", 1)
    call("split", tmp_path / "w2", "--val-per-class", 0)
    assert call("resize", tmp_path / "w2", "--size", 16, "--workers", 1)["rejected"] == 1
    rejects = pq.read_table(next((tmp_path / "w2/parts").glob("*.rejects.parquet"))).to_pylist()
    assert [(row["name"], row["reason"]) for row in rejects] == [("a.png", "empty")]


def test_a_file_that_claims_absurdly_many_rows_is_refused(tmp_path):
    schema = pa.schema([("image", pa.binary()), ("label", pa.string())])
    with pq.ParquetWriter(tmp_path / "huge.parquet", schema) as writer:
        table = pa.table({"image": [b""] * 1_000_000, "label": ["n02084071"] * 1_000_000}, schema=schema)
        for _ in range(3):
            writer.write_table(table)
    with pytest.raises(RefusedError, match=r"huge\.parquet is .*\(3,000,000 rows in [\d,]+ bytes"):
        call("filter", tmp_path / "huge.parquet", tmp_path / "work", "--min-images", 1)


def test_metadata_of_another_kind_is_no_list_of_names(tmp_path):
    for number, described in enumerate(
        (b"[", b"[]", json.dumps({"info": {"features": {"label": {"names": 3}}}}).encode())
    ):
        table = pa.table({"image": structs("a.png"), "label": [0]}).replace_schema_metadata({"huggingface": described})
        with pytest.raises(RefusedError, match="--class-list"):
            listed(tmp_path / str(number), table)

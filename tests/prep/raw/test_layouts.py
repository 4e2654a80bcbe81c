import gzip
import hashlib
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from commands import RefusedError, call, digests
from dumps import MIN_IMAGES, PIPELINE, SIZE, VAL_PER_CLASS, images_of, jpeg, make_dump, tar_bytes
from object_store import served

COUNTS = {"n01887787": 12, "n02084071": 11, "n09450163": 10, "n04146614": MIN_IMAGES - 1}
FILES = {wnid: images_of(wnid, count) for wnid, count in COUNTS.items()}
SUFFIXES = [".JPEG", ".jpg", ".jpeg", ".JPG", ".png", ".webp", ".Jpeg"]

pytestmark = pytest.mark.usefixtures("inline")


def tar_of_class_tars(folder: Path) -> Path:
    return make_dump(folder / "fall11_whole.tar", FILES)


def gzipped(path: Path) -> Path:
    return written(path.with_name(f"{path.name}.gz"), gzip.compress(path.read_bytes(), 1))


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def gzipped_tar_of_class_tars(folder: Path) -> Path:
    return gzipped(tar_of_class_tars(folder))


def plain_tar_that_is_named_gz(folder: Path) -> Path:
    return make_dump(folder / "winter21_whole.tar.gz", FILES)


def class_tars(folder: Path) -> Path:
    for wnid, files in FILES.items():
        written(folder / f"{wnid}.tar", tar_bytes(files))
    return folder


def class_folders(folder: Path) -> Path:
    for wnid, files in FILES.items():
        for name, data in files:
            written(folder / wnid / name, data)
    return folder


def class_folders_of_any_suffix(folder: Path) -> Path:
    for wnid, files in FILES.items():
        for number, (name, data) in enumerate(files):
            written(folder / wnid / f"{Path(name).stem}{SUFFIXES[number % len(SUFFIXES)]}", data)
    return folder


def tar_of_class_folders(folder: Path) -> Path:
    members = [(f"./imagenet/{wnid}/{name}", data) for wnid, files in FILES.items() for name, data in files]
    return written(folder / "folders.tar", tar_bytes(members))


def gzipped_tar_of_class_folders(folder: Path) -> Path:
    return gzipped(tar_of_class_folders(folder))


LAYOUTS = {
    tar_of_class_tars: "tar-of-class-tars",
    gzipped_tar_of_class_tars: "gzipped-tar-of-class-tars",
    plain_tar_that_is_named_gz: "tar-of-class-tars",
    class_tars: "class-tars",
    class_folders: "class-folders",
    class_folders_of_any_suffix: "class-folders",
    tar_of_class_folders: "tar-of-class-folders",
    gzipped_tar_of_class_folders: "gzipped-tar-of-class-folders",
}


def prepare(raw: Path | str, folder: Path) -> Path:
    call("run", raw, folder / "work", folder / "out", *PIPELINE, "--workers", 1)
    return folder / "out"


def layout_of(out: Path) -> str:

    layout: str = json.loads((out / "manifest.json").read_bytes())["source"]["layout"]
    return layout


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> dict[str, str]:
    """The digests of the shards of the first layout, made by worker processes."""
    folder = tmp_path_factory.mktemp("shards")
    return digests(prepare(tar_of_class_tars(folder), folder), "*/*.tar")


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_every_layout_gives_the_same_shards(layout: Callable[[Path], Path], shards, tmp_path):
    (tmp_path / "raw").mkdir()
    out = prepare(layout(tmp_path / "raw"), tmp_path)
    assert layout_of(out) == LAYOUTS[layout]
    assert digests(out, "*/*.tar") == shards


@pytest.mark.parametrize(
    "layout", [tar_of_class_tars, gzipped_tar_of_class_tars, class_tars, class_folders], ids=lambda each: each.__name__
)
def test_every_layout_in_an_object_store_gives_the_same_shards(layout, shards, tmp_path, monkeypatch):
    (tmp_path / "served" / "bucket" / "raw").mkdir(parents=True)
    raw = layout(tmp_path / "served" / "bucket" / "raw")
    with served(tmp_path / "served", monkeypatch) as uri:
        out = prepare(uri.format(raw.relative_to(tmp_path / "served")), tmp_path)
    assert layout_of(out) == LAYOUTS[layout]
    assert digests(out, "*/*.tar") == shards
    assert "testsecret" not in (out / "manifest.json").read_text()


def test_the_index_of_a_gzipped_dump_is_stored_and_reused(tmp_path):
    raw = gzipped_tar_of_class_tars(tmp_path)
    prepare(raw, tmp_path)
    index = tmp_path / "work" / "raw.gzindex"
    before = index.stat().st_mtime_ns
    (tmp_path / "work" / "filter.json").unlink()
    call("filter", raw, tmp_path / "work", "--min-images", MIN_IMAGES)
    assert index.stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_gzipped_dump_is_one_line(tmp_path, damage):
    raw = gzipped(make_dump(tmp_path / "fall11_whole.tar", {wnid: images_of(wnid, 12, (200, 150)) for wnid in COUNTS}))
    content = bytearray(raw.read_bytes())
    if damage == "cut":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
    raw.write_bytes(content)
    with pytest.raises(RefusedError, match=r"fall11_whole\.tar\.gz is .*download it again"):
        call("filter", raw, tmp_path / "work", "--min-images", 1)
    assert not (tmp_path / "work" / "filter.json").exists()


def test_a_folder_without_classes_is_one_line(tmp_path):
    (tmp_path / "raw").mkdir()
    written(tmp_path / "raw" / "notes.txt", b"none")
    with pytest.raises(RefusedError, match=r"raw holds neither class tars .* nor class folders"):
        call("filter", tmp_path / "raw", tmp_path / "work")


# The official processed release: its images are resized already, and it brings its own split.

RELEASE_VAL = (3, 5, 8)
"""The numbers of its val images, which are not the first by name."""
RELEASE = {
    "imagenet21k_train": {wnid: [n for n in range(11) if n not in RELEASE_VAL] for wnid in ("n01887787", "n02084071")},
    "imagenet21k_val": {wnid: list(RELEASE_VAL) for wnid in ("n01887787", "n02084071")},
    "imagenet21k_small_classes": {"n04146614": list(range(4))},
}


def release_files() -> dict[str, bytes]:
    """Return the images of the release by path; one of them has another size."""
    files = {}
    for folder, classes in RELEASE.items():
        for wnid, numbers in classes.items():
            for number in numbers:
                size = (SIZE, SIZE) if (wnid, number) != ("n02084071", 7) else (SIZE + 9, SIZE)
                files[f"{folder}/{wnid}/{wnid}_{number}.JPEG"] = jpeg(int(wnid[1:]) + number, size, quality=70)
    return files


def release_folder(folder: Path) -> Path:
    for name, data in release_files().items():
        written(folder / name, data)
    return folder


def release_in_a_wrapper(folder: Path) -> Path:
    release_folder(folder / "winter21_processed")
    return folder


def release_tar(folder: Path) -> Path:
    members = [(f"winter21_processed/{name}", data) for name, data in sorted(release_files().items())]
    return written(folder / "release.tar", tar_bytes(members))


def release_tar_gz(folder: Path) -> Path:
    return gzipped(release_tar(folder))


@pytest.fixture(scope="module")
def release_shards(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("release")
    return digests(prepare(release_folder(folder / "raw"), folder), "*/*.tar")


@pytest.mark.parametrize(
    "layout", [release_folder, release_in_a_wrapper, release_tar, release_tar_gz], ids=lambda each: each.__name__
)
def test_the_processed_release_keeps_its_split_and_its_bytes(layout, release_shards, tmp_path):
    (tmp_path / "raw").mkdir()
    out = prepare(layout(tmp_path / "raw"), tmp_path)
    assert digests(out, "*/*.tar") == release_shards
    given = {Path(name).stem: (Path(name).parts[0], data) for name, data in release_files().items()}
    found = {}
    for split in ("train", "val"):
        for shard in (out / split).glob("*.tar"):
            with tarfile.open(shard) as tar:
                members = {member.name: tar.extractfile(member).read() for member in tar}
            found |= {name[:-4]: (f"imagenet21k_{split}", data) for name, data in members.items() if ".jpg" in name}
    wanted = {key: value for key, value in given.items() if not key.startswith("n04146614")}
    resized = found.pop("n02084071_7")
    assert wanted.pop("n02084071_7")[1] != resized[1]
    assert {key: (split, sha(data)) for key, (split, data) in found.items()} == {
        key: (split, sha(data)) for key, (split, data) in wanted.items()
    }


def test_a_rejected_val_image_of_the_release_is_not_replaced(tmp_path):
    release_folder(tmp_path / "raw")
    written(tmp_path / "raw/imagenet21k_val/n02084071/n02084071_3.JPEG", b"<html>")
    summary = call("run", tmp_path / "raw", tmp_path / "work", tmp_path / "out", *PIPELINE, "--workers", 1)
    assert summary["val"] == 2 * VAL_PER_CLASS - 1
    assert summary["rejected"] == 1
    splits = pq.read_table(tmp_path / "out" / "samples.parquet", columns=["split", "key"]).to_pylist()
    of_val = {row["key"] for row in splits if row["split"] == "val" and row["key"].startswith("n02084071")}
    assert of_val == {"n02084071_5", "n02084071_8"}


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

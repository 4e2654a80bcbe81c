"""The same images in the forms in which ImageNet-21K is had, made without in21k."""

import gzip
import json
import random
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from dumps import make_dump, tar_bytes

Files = Mapping[str, Sequence[tuple[str, bytes]]]
"""By wnid the names and bytes of a class's images."""


def mixed(files: Files, seed: int = 0) -> list[tuple[str, str, bytes]]:
    """Return (wnid, name, bytes) of all images, shuffled."""
    rows = [(wnid, name, data) for wnid, images in files.items() for name, data in images]
    random.Random(seed).shuffle(rows)
    return rows


def sample_members(wnid: str, name: str, data: bytes, label: int, suffix: str = "jpg") -> list[tuple[str, bytes]]:
    """Return the members of a sample as timm's shards have them."""
    key = Path(name).stem
    described = {"label": label, "class_name": wnid, "width": 24, "height": 18}
    return [
        (f"{key}.{suffix}", data),
        (f"{key}.cls", str(label).encode()),
        (f"{key}.json", json.dumps(described).encode()),
    ]


def hub_shards(
    folder: Path, files: Files, count: int = 4, name: str = "imagenet22k-train", suffix: str = "jpg"
) -> Path:
    """Write shards as timm's are on the hub, with `_info.json` beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, wnids = mixed(files), sorted(files)
    names, lengths = [], []
    for number in range(count):
        chosen = rows[number::count]
        members = [
            member
            for wnid, image, data in chosen
            for member in sample_members(wnid, image, data, wnids.index(wnid), suffix)
        ]
        names.append(f"{name}-{number:04d}.tar")
        lengths.append(len(chosen))
        (folder / names[-1]).write_bytes(tar_bytes(members))
    train = {"name": "train", "num_samples": sum(lengths), "filenames": names, "shard_lengths": lengths}
    (folder / "_info.json").write_text(json.dumps({"splits": {"train": train}}))
    return folder


def parquet_files(folder: Path, files: Files, count: int = 3, rows_per_group: int = 5) -> Path:
    """Write Parquet files as Hugging Face's are: a struct of bytes and path, a label, and its names in the metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, wnids = mixed(files), sorted(files)
    features = {"image": {"_type": "Image"}, "label": {"names": wnids, "_type": "ClassLabel"}}
    schema = pa.schema(
        [("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("label", pa.int64())],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    for number in range(count):
        columns = {
            "image": [{"bytes": data, "path": name} for _, name, data in rows[number::count]],
            "label": [wnids.index(wnid) for wnid, _, _ in rows[number::count]],
        }
        table = pa.table(columns, schema=schema)
        path = folder / f"train-{number:05d}-of-{count:05d}.parquet"
        pq.write_table(table, path, row_group_size=rows_per_group)
    return folder


def tar_gz_parts(folder: Path, files: Files, count: int = 3, stem: str = "imagenet21k.tar.gz") -> Path:
    """Write a gzipped tar of class tars in pieces, as the hub has large ones."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = make_dump(folder / "plain.tar", {wnid: list(images) for wnid, images in files.items()})
    data = gzip.compress(plain.read_bytes(), mtime=0)
    plain.unlink()
    size = -(-len(data) // count)
    for number in range(count):
        (folder / f"{stem}.{number:02d}.tar.gz.part").write_bytes(data[number * size : (number + 1) * size])
    return folder


def zipped(path: Path, files: Files, method: int = zipfile.ZIP_DEFLATED, above: str = "imagenet/") -> Path:
    """Write a zip with class folders."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for wnid, images in files.items():
            for name, data in images:
                archive.writestr(f"{above}{wnid}/{name}", data)
    return path


def class_folders(folder: Path, files: Files) -> Path:
    """Write a folder per class."""
    for wnid, images in files.items():
        (folder / wnid).mkdir(parents=True)
        for name, data in images:
            (folder / wnid / name).write_bytes(data)
    return folder

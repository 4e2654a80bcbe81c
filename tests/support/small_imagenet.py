"""What says the classes of ImageNet-1K's validation images: the devkit and lists, for a few images."""

import io
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from in21k.tree.class_lists import PublishedList, published_class_list

IN1K = published_class_list(PublishedList.IN1K)
Val = Sequence[tuple[str, str, bytes]]
"""Of each image: its name, wnid and bytes."""


def devkit_order() -> list[str]:
    """A stand-in for the devkit's order of the classes, which is not theirs by wnid."""
    return [*IN1K[500:], *IN1K[:500]]


def ground_truth(val: Val) -> str:
    order = devkit_order()
    return "".join(f"{order.index(wnid) + 1}\n" for _, wnid, _ in val)


def meta_mat() -> bytes:
    """A MATLAB file with a compressed element that has texts of two bytes a letter, as the devkit's."""
    texts = b"".join(wnid.encode("utf-16-le") + b"\0" * 6 for wnid in [*devkit_order(), "n00001740"])
    packed = zlib.compress(texts)
    return b"MATLAB 5.0".ljust(128) + (15).to_bytes(4, "little") + len(packed).to_bytes(4, "little") + packed


def devkit_tar(val: Val) -> bytes:
    members = [
        ("ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", ground_truth(val).encode()),
        ("ILSVRC2012_devkit_t12/data/meta.mat", meta_mat()),
    ]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def unpacked_devkit(folder: Path, val: Val) -> None:
    data = folder / "ILSVRC2012_devkit_t12/data"
    data.mkdir(parents=True)
    (data.parent / "readme.txt").write_text("This is the devkit\n")
    (data / "meta.mat").write_bytes(meta_mat())
    (data / "ILSVRC2012_validation_ground_truth.txt").write_text(ground_truth(val))


def by_csv(folder: Path, val: Val) -> None:
    rows = "".join(f"{name.removesuffix('.JPEG')},{wnid} 1 2 3 4\n" for name, wnid, _ in reversed(val))
    (folder / "LOC_val_solution.csv").write_text(f"ImageId,PredictionString\n{rows}")


def by_names(folder: Path, val: Val) -> None:
    (folder / "val.txt").write_text("".join(f"{name} {IN1K.index(wnid)}\n" for name, wnid, _ in val))


TRUTHS = {
    "devkit": lambda folder, val: (folder / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(devkit_tar(val)),
    "devkit, unpacked": unpacked_devkit,
    "wnids in order": lambda folder, val: (folder / "synset_labels.txt").write_text(
        "".join(f"{wnid}\n" for _, wnid, _ in val)
    ),
    "names and numbers": by_names,
    "csv": by_csv,
}
"""By name, what writes the classes of validation images into a folder."""

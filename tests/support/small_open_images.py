"""Open Images' files, written small, and average precision over what is known of its val images."""

from pathlib import Path

from downstream import average_precision, logits_of, write_images

from in21k.train.data.interfaces import ABSENT
from in21k.train.data.open_datasets.open_images import open_open_images

NAMES = {"/m/0a": "Ant", "/m/0b": "Bee", "/m/0c": "Cow", "/m/0d": "Ant", "/m/0e": "Eel"}
LABELS = list(NAMES)
Rows = dict[str, dict[str, int]]


def verified(split: str, count: int) -> Rows:
    """Of image i, one label in turn is known to be present, the next two to be absent, the others unknown."""
    return {
        f"{at:016x}": {LABELS[at % 4]: 1, LABELS[(at + 1) % 4]: 0, LABELS[(at + 2) % 4]: 0}
        for at in range(1000 * (split == "validation"), 1000 * (split == "validation") + count)
    }


def write_labels(path: Path, rows: Rows) -> None:
    lines = [f"{image},verification,{label},{sure}" for image, found in rows.items() for label, sure in found.items()]
    path.write_text("\n".join(["ImageID,Source,LabelName,Confidence", *lines]) + "\n")


def write_open_images(root: Path, *, parted: bool = False) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{label},{name}\n" for label, name in NAMES.items())
    (root / "oidv7-class-descriptions.csv").write_text(f"LabelName,DisplayName\n{lines}")
    for split, count in (("train", 40), ("validation", 24)):
        rows = verified(split, count)
        write_labels(root / f"oidv7-{split}-annotations-human-imagelabels.csv", rows)
        (root / f"oidv7-{split}-annotations-bbox.csv").write_text("ImageID\n")
        below = {image: f"{split}_{image[0]}" if parted else split for image in rows}
        write_images(root, {f"{below[image]}/{image}.jpg": int(image, 16) % 4 for image in rows})
    return root


def sets_of(data, split: str) -> dict[str, dict[str, int]]:
    """Of each image, the names of the classes that are known, with 1 for those present."""
    listed = data.splits[split]
    return {
        Path(key).stem: {
            data.classes[at if at >= 0 else ABSENT - at]: int(at >= 0)
            for at in data.label_sets[row].tolist()
            if at != -1
        }
        for key, row in zip(listed.keys, listed.label_ids.tolist(), strict=True)
    }


def known_precisions(root: Path, run: Path) -> tuple[float, dict[str, float]]:
    """Average precision of a run over all known pairs of a val image and a class, and by class."""
    data = open_open_images(root)
    known = [list(found.items()) for found in sets_of(data, "val").values()]
    logits = logits_of(run, [(root / key).read_bytes() for key in data.splits["val"].keys])
    pairs = [
        (row[data.classes.index(name)], name, bool(sure))
        for row, found in zip(logits, known, strict=True)
        for name, sure in found
    ]
    by_class = {
        name: average_precision(*zip(*[(score, hit) for score, of, hit in pairs if of == name], strict=True))
        for name in data.classes
    }
    return average_precision([score for score, _, _ in pairs], [hit for _, _, hit in pairs]), by_class

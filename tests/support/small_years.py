"""iNaturalist's annotations and images, written small."""

import json
from pathlib import Path

from small_dataset import jpeg

CATEGORIES = [
    {"id": 3, "name": "Felis catus", "kingdom": "Animalia", "class": "Mammalia", "genus": "Felis"},
    {"id": 0, "name": "Apis mellifera", "kingdom": "Animalia", "class": "Insecta", "genus": "Apis"},
    {"id": 1, "name": "Apis cerana", "kingdom": "Animalia", "class": "Insecta", "genus": "Apis"},
    {"id": 2, "name": "Felis silvestris", "kingdom": "Animalia", "class": "Mammalia", "genus": "Felis"},
    {"id": 4, "name": "Rosa rugosa", "kingdom": "Plantae", "class": "", "genus": "Rosa"},
    {"id": 5, "name": "Rosa canina", "kingdom": "Plantae", "genus": "Rosa", "common_name": "dog-rose"},
]


def annotations(names: list[str], categories: list[dict] = CATEGORIES) -> dict:
    """Annotations in which image i is of species i % 6."""
    return {
        "info": {"year": 2021},
        "images": [{"id": 70 + at, "file_name": name, "width": 9, "latitude": None} for at, name in enumerate(names)],
        "categories": categories,
        "annotations": [{"id": at, "image_id": 70 + at, "category_id": at % 6} for at in range(len(names))],
        "licenses": [],
    }


def write_year(root: Path, year: str, counts=(48, 24), **changes: object) -> Path:
    """A year as its archives unpack: 2021's have a folder per split, 2019's one for both."""
    for split, count in zip(("train", "val"), counts, strict=True):
        folder = "train_val2019" if year == "2019" else split
        names = [f"{folder}/{at % 6:05d}_Species/{split}{at}.jpg" for at in range(count)]
        for at, name in enumerate(names):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(jpeg(at % 6, at + 100 * (split == "val")))
        loaded = annotations(names) | (changes if split == "train" else {})
        (root / f"{split}{'2019' if year == '2019' else ''}.json").write_text(json.dumps(loaded))
    return root

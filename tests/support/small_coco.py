"""Other people's datasets, written small."""

import json
from pathlib import Path

from small_dataset import jpeg


def write_coco(root: Path, train: int = 12, val: int = 8, **changes: object) -> Path:
    (root / "annotations").mkdir(parents=True)
    for split, count in (("train2017", train), ("val2017", val)):
        (root / split).mkdir()
        for number in range(count):
            (root / split / f"{number:03d}.jpg").write_bytes(jpeg(number % 4, number))
        content = coco(count, **(changes if split == "train2017" else {}))
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return root


def coco(count: int, /, **changes: object) -> dict:
    """Annotations of images 0 … in which image i has the categories of i's lowest two bits; a crowd is among them."""
    objects = [
        (number, category) for number in range(count) for category in (1, 7) if number % 4 & (1 if category == 1 else 2)
    ]
    return {
        "info": {"year": 2017},
        "images": [{"id": 100 + number, "file_name": f"{number:03d}.jpg", "width": 9} for number in range(count)],
        "annotations": [
            {"id": at, "image_id": 100 + number, "category_id": category, "iscrowd": at % 2, "bbox": [0, 0, 1, 1]}
            for at, (number, category) in enumerate(objects + objects[:3])
        ],
        "categories": [{"id": 7, "name": "cow"}, {"id": 1, "name": "person"}, {"id": 90, "name": "toothbrush"}],
        **changes,
    }

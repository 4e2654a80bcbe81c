"""Drawn shapes on noise with their boxes, in COCO's format: circles, squares and triangles."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

SHAPES = {3: "circle", 5: "square", 8: "triangle"}
"""Category ids and names; ids with gaps, as COCO's."""


def draw_image(rng: np.random.Generator, width: int, height: int) -> tuple[Image.Image, list[tuple[int, list[int]]]]:
    """An image of 1 to 3 shapes that do not overlap, with the category id and the box of each."""
    image = Image.fromarray(rng.integers(0, 90, (height, width, 3), np.uint8))
    draw, placed = ImageDraw.Draw(image), []
    for _ in range(int(rng.integers(1, 4))):
        side = int(rng.integers(24, min(56, width, height)))
        left, top = int(rng.integers(0, width - side)), int(rng.integers(0, height - side))
        if any(abs(left - x) < max(side, s) and abs(top - y) < max(side, s) for _, (x, y, s, _) in placed):
            continue
        kind = int(rng.choice(list(SHAPES)))
        color = tuple(int(each) for each in rng.integers(150, 256, 3))
        box = (left, top, left + side - 1, top + side - 1)
        if kind == 3:
            draw.ellipse(box, fill=color)
        elif kind == 5:
            draw.rectangle(box, fill=color)
        else:
            draw.polygon(
                [(left, top + side - 1), (left + side - 1, top + side - 1), (left + side // 2, top)], fill=color
            )
        placed.append((kind, [left, top, side, side]))
    return image, placed


def write_shapes(root: Path, train: int = 24, val: int = 8, *, seed: int = 0, side: int = 128) -> Path:
    """Write a COCO folder of drawn shapes; widths and heights differ from image to image."""
    rng = np.random.default_rng(seed)
    (root / "annotations").mkdir(parents=True)
    for split, count in (("train2017", train), ("val2017", val)):
        (root / split).mkdir()
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number in range(count):
            width, height = (int(each) for each in rng.integers(side * 3 // 4, side + 1, 2))
            image, placed = draw_image(rng, width, height)
            image.save(root / split / f"{number:04d}.jpg", quality=92)
            images.append({"id": 7 * number + 1, "file_name": f"{number:04d}.jpg", "width": width, "height": height})
            annotations += [
                annotation(len(annotations) + at, 7 * number + 1, *each) for at, each in enumerate(placed, 1)
            ]
        write_annotations(root, split, images, annotations)
    return root


def annotation(number: int, image: int, category: int, box: list[float], **changes: Any) -> dict[str, Any]:
    own = {"id": number, "image_id": image, "category_id": category, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
    return own | changes


def change(root: Path, change_of: Callable[[Any], Any], split: str = "train2017") -> Any:
    """Change an annotation file, and return what it holds then."""
    path = root / "annotations" / f"instances_{split}.json"
    content = json.loads(path.read_text())
    change_of(content)
    path.write_text(json.dumps(content))
    return content


def write_annotations(root: Path, split: str, images: list[Any], annotations: list[Any]) -> Path:
    categories = [{"id": number, "name": name} for number, name in SHAPES.items()]
    path = root / "annotations" / f"instances_{split}.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path

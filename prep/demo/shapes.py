"""A small raw dump of drawn shapes whose classes are in a taxonomy that is no WordNet, with its file of edges.

Four ranks, as in biology: a realm decides the background of a picture, a family the shape of its body, a genus the
pattern on it, a species its ornament and frame. Only species have pictures.
"""

import csv
import io
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from in21k.prep.demo.pictures import encode, paint
from in21k.prep.demo.species import MOST_SPECIES, SPECIES, Species, places
from in21k.prep.errors import PrepError
from in21k.shards_manifest.errors import errors_naming
from in21k.shards_manifest.storage.local_files import TEMPORARY_PREFIX, atomic_path, make_folder, write_atomic
from in21k.shards_manifest.tar import END, member_bytes


@dataclass(frozen=True)
class ShapesDump:
    """What `draw_shapes` wrote."""

    path: Path
    """The folder of nested class folders, or the tar of them."""
    edges: Path
    """The taxonomy as a CSV of child, parent and name."""
    species: int
    """Number of classes with pictures."""
    classes: int
    """Number of classes of all four ranks."""
    images: int

    def summary(self) -> dict[str, Any]:
        """Return what the command prints, by name."""
        return {**asdict(self), "path": str(self.path), "edges": str(self.edges)}


def draw_shapes(path: Path, *, seed: int = 0, species: int = SPECIES, images_per_species: int = 40) -> ShapesDump:
    """Draw a raw dump of nested class folders, with its taxonomy in a CSV beside it; return what it holds.

    The innermost folder of a picture is named after its label, so the dump can be prepared with `--edges` and with
    `--edges-from-folders`.

    Args:
        path: a folder, or a tar if its name ends in .tar; the CSV gets the same name with .csv.
        seed: another seed draws other pictures of the same classes.
        species: number of classes with pictures, 2 to 448.
        images_per_species: number of pictures of each.

    Raises:
        PrepError: there is such a file or folder already, or `species` is out of range.
        DatasetError: the file system is full or refuses the write.
    """
    if not 2 <= species <= MOST_SPECIES or images_per_species < 1:
        raise PrepError(f"--species {species}: give 2 to {MOST_SPECIES}")
    edges = path.with_name(f"{path.name.removesuffix('.tar')}.csv")
    for place in (path, edges):
        if os.path.lexists(place):
            raise PrepError(f"{place} exists; give another path")
    drawn = [Species(place) for place in places(species)]
    files = (
        (f"{'/'.join(each.labels)}/{number}.jpg", _picture(each, seed, number))
        for each in drawn
        for number in range(images_per_species)
    )
    make_folder(path.parent)
    (_write_tar if path.suffix == ".tar" else _write_folder)(path, files)
    write_atomic(edges, _edges(drawn))
    labels = {label for each in drawn for label in each.labels}
    return ShapesDump(path, edges, species, len(labels), species * images_per_species)


def _edges(drawn: list[Species]) -> bytes:
    """Return the CSV of all labels with their parents and names."""
    rows: dict[str, tuple[str, str]] = {}
    for each in drawn:
        for label, above, name in zip(each.labels, ("", *each.labels), each.names, strict=False):
            rows[label] = above, name
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("child", "parent", "name"))
    writer.writerows((label, *above_and_name) for label, above_and_name in rows.items())
    return text.getvalue().encode()


def _picture(each: Species, seed: int, number: int) -> bytes:
    realm, family, genus, kind = each.place
    rng = np.random.default_rng([seed, *each.place, number])
    width, height = (int(side) for side in rng.integers(80, 160, size=2, endpoint=True))
    picture = Image.fromarray(paint((realm, family, genus, kind % 2, kind // 2), rng, width, height))
    return encode(picture, "", quality=int(rng.integers(80, 95)))


def _write_tar(path: Path, files: Iterator[tuple[str, bytes]]) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as tar:
        for name, content in files:
            tar.write(member_bytes(name, content))
        tar.write(END)


def _write_folder(path: Path, files: Iterator[tuple[str, bytes]]) -> None:
    with errors_naming(str(path)), TemporaryDirectory(dir=path.parent, prefix=TEMPORARY_PREFIX) as temporary:
        folder = Path(temporary) / path.name
        for name, content in files:
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        folder.rename(path)

"""Small dumps whose classes are in a taxonomy that is no WordNet."""

from pathlib import Path

from dumps import jpeg

OPTIONS = ("--min-images", 4, "--val-per-class", 1, "--size", 16, "--samples-per-shard", 40, "--workers", 1)

STRANGE = [
    "a",
    "a_b",
    "a-b",
    "Dog",
    "dog",
    "DOG",
    "con",
    "NUL",
    "12",
    "n1",
    "n02084071",
    " lead",
    "trail ",
    "-dash",
    ".hidden",
    "a, b",
    "quotes \"'`",
    "two\nlines",
    "tab\there",
    "\x1b[2J clear",
    "\u202eright to left",
    "line\u2028break",
    "Größe",
    "日本語",
    "🐕",
    "$x_1$ %s {} \\n",
    "| pipe | > arrow",
    "<script>alert(1)<!--",
    "x" * 250,
]
"""Names of folders that are hard on keys, files, tables, pages and terminals."""


def draw_folders(raw: Path, folders: list[str], images: int = 4) -> Path:
    """Write folders with pictures, all different."""
    for seed, folder in enumerate(folders):
        path = raw / folder
        path.mkdir(parents=True)
        for number in range(images):
            (path / f"{number}.jpg").write_bytes(jpeg(1000 * seed + number, (24, 18)))
    return raw

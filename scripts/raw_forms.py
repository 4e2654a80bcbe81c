"""Writes a tar of class tars in the other forms in which ImageNet-21K is had, as the tests make them.

    python scripts/raw_forms.py raw.tar FOLDER

FOLDER then holds `hub` (WebDataset shards as timm's), `parquet`, `parts` (of a .tar.gz), `raw.zip` and `folders`. All
of them give the same shards and tables as the tar. The tar's images are held in memory, so it should be a small one.
"""

import argparse
import sys
from pathlib import Path

SUPPORT = Path(__file__).resolve().parents[1] / "tests" / "support"
sys.path.insert(0, str(SUPPORT))

from dumps import read_dump  # noqa: E402
from forms import class_folders, hub_shards, parquet_files, tar_gz_parts, zipped  # noqa: E402


def main() -> None:
    """Read the tar, and write each form."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("raw", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    options.folder.mkdir()
    files = {wnid: list(images.items()) for wnid, images in read_dump(options.raw).items()}
    hub_shards(options.folder / "hub", files, count=16)
    parquet_files(options.folder / "parquet", files, count=4, rows_per_group=100)
    tar_gz_parts(options.folder / "parts", files)
    zipped(options.folder / "raw.zip", files)
    class_folders(options.folder / "folders", files)


if __name__ == "__main__":
    main()

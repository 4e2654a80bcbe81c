"""Take the README's picture of the explorer, docs/images/explorer.png: the packaged hierarchy, no image of ImageNet.

Run `python scripts/explorer_picture.py` where Chromium is, after the page has changed.
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image

from in21k.tree.class_lists import PublishedList, published_class_list
from in21k.tree.explorer import explorer_page
from in21k.tree.parents import ParentRule
from in21k.tree.table import hierarchy_table, wordnet_hierarchy

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "explorer.png"
PLACE = "#n02084071"
"""A class with a gloss, a path above it and a map below it: dog."""
WIDTH, HEIGHT = 1280, 760
COLORS = 128

sys.path.append(str(ROOT / "tests" / "support"))
from browser import chromium  # noqa: E402 - the tests' own client


def main() -> None:
    """Write the page to a temporary folder, look at it, and keep the picture."""
    table = hierarchy_table(wordnet_hierarchy(published_class_list(PublishedList.FALL11)), ParentRule.PUBLISHED)
    with tempfile.TemporaryDirectory() as folder:
        page_file, shot = Path(folder, "fall11-p.html"), Path(folder, "shot.png")
        page_file.write_text(explorer_page(table, "fall11-p"), encoding="utf-8")
        with chromium(Path(folder, "profile")) as page:
            page.look(WIDTH, HEIGHT, "light")
            page.open(f"{page_file.as_uri()}{PLACE}")
            page.wait_for("document.body.innerText.includes('genus Canis')")
            page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            page.screenshot(shot)
        PICTURE.parent.mkdir(exist_ok=True)
        Image.open(shot).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()

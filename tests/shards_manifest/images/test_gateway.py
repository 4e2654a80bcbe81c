"""Image bytes are opened in one room: nothing else in the four packages calls a decoder, by whatever name."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("prep", "shards_manifest", "train", "tree")
GATEWAY = ROOT / "shards_manifest" / "images"

OPENERS = {"PIL.Image.open", "PIL.ImageFile.Parser", "matplotlib.image", "matplotlib.pyplot.imread", "torchvision.io"}
"""What opens image bytes, by full name: a module stands for all that is in it."""
DECODERS = {
    "decode_jpeg",
    "decode_jpeg_header",
    *(f"im{verb}{more}" for verb in ("read", "decode") for more in ("", "multi", "animation")),
}
"""Names of simplejpeg and OpenCV that mean nothing else: forbidden whatever they are an attribute of."""


def full_names(tree: ast.Module) -> dict[str, str]:
    """Return what the names that a module imports stand for."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {
                alias.asname or alias.name.split(".")[0]: alias.name if alias.asname else alias.name.split(".")[0]
                for alias in node.names
            }
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def mentioned(tree: ast.Module) -> Iterator[str]:
    """Yield the full names that a module imports and uses."""
    names = full_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Attribute):
            base, parts = node, []
            while isinstance(base, ast.Attribute):
                parts.append(base.attr)
                base = base.value
            start = names.get(base.id, base.id) if isinstance(base, ast.Name) else "?"
            yield ".".join((start, *reversed(parts)))


def openings(source: str) -> set[str]:
    """Return what opens image bytes in a module's source."""
    return {
        name
        for name in mentioned(ast.parse(source))
        if name.rpartition(".")[2] in DECODERS
        or name == "PIL.Image.*"
        or any(name == opener or name.startswith(f"{opener}.") for opener in OPENERS)
    }


def test_image_bytes_are_opened_in_the_gateway_alone():
    found = {
        path.relative_to(ROOT).as_posix(): names
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if GATEWAY not in path.parents and (names := openings(path.read_text(encoding="utf-8")))
    }
    assert found == {}


def test_the_gateway_itself_opens_them():
    found = set().union(*(openings(path.read_text(encoding="utf-8")) for path in GATEWAY.glob("*.py")))
    assert {name.rpartition(".")[2] for name in found} == {"open", "imdecode", "decode_jpeg", "decode_jpeg_header"}


def test_pillows_own_limit_is_lifted_in_one_place():
    setting = [
        path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if "MAX_IMAGE_PIXELS" in path.read_text("utf-8")
    ]
    assert [path.parent for path in setting] == [GATEWAY]


@pytest.mark.parametrize(
    "source",
    [
        "from PIL import Image\nImage.open(file)",
        "from PIL import Image as Picture\nPicture.open(file)",
        "from PIL.Image import open",
        "from PIL.Image import open as open_image\nopen_image(file)",
        "from PIL.Image import *",
        "import PIL.Image\nPIL.Image.open(file)",
        "import PIL.Image as pictures\npictures.open(file)",
        "from PIL import Image\nread = Image.open",
        "def late():\n    from PIL import Image\n    return Image.open",
        "from PIL import ImageFile\nImageFile.Parser()",
        "import cv2\ncv2.imdecode(data, 1)",
        "import cv2 as vision\nvision.imread(path)",
        "from cv2 import imdecode as decode",
        "from in21k.shards_manifest.images.webp import opencv\nopencv().imdecode(data, 1)",
        "import cv2\ncv2.imreadmulti(path)",
        "import simplejpeg\nsimplejpeg.decode_jpeg(data)",
        "from simplejpeg import decode_jpeg_header",
        "from torchvision.io import read_image",
        "import torchvision\ntorchvision.io.decode_png(data)",
        "import torchvision.io as files\nfiles.read_image(path)",
        "from torchvision import io",
        "from matplotlib import pyplot\npyplot.imread(path)",
        "import matplotlib.image",
    ],
)
def test_what_opens_image_bytes_is_found(source):
    assert openings(source)


@pytest.mark.parametrize(
    "source",
    [
        "from PIL import Image\nImage.fromarray(pixels).save(file)",
        "path.open('rb')\nopen(path)",
        "import cv2\ncv2.imencode('.jpg', pixels)",
        "import simplejpeg\nsimplejpeg.__version__",
        "from torchvision.transforms import RandAugment",
    ],
)
def test_what_opens_none_is_not(source):
    assert not openings(source)

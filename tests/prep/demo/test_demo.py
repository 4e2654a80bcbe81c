import hashlib
import io
import tarfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image, UnidentifiedImageError

from in21k.prep.demo import dump as demo
from in21k.prep.errors import PrepError
from in21k.tree.table import wordnet_hierarchy

FEW = demo.MIN_IMAGES_PER_CLASS


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    return demo.draw_dump(tmp_path_factory.mktemp("demo") / "raw.tar", images_per_class=FEW, size_range=(24, 40))


@pytest.fixture(scope="module")
def files(dump):
    """The dump's files, by name."""
    contents = {}
    with tarfile.open(dump.path) as outer:
        for member in outer:
            with tarfile.open(fileobj=outer.extractfile(member)) as inner:
                contents |= {file.name: inner.extractfile(file).read() for file in inner}
    return contents


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_same_seed_gives_the_same_bytes_and_a_different_seed_does_not(dump, tmp_path):
    again, other = (
        demo.draw_dump(tmp_path / f"{seed}.tar", seed=seed, images_per_class=FEW, size_range=(24, 40))
        for seed in (0, 1)
    )
    assert digest(again.path) == digest(dump.path) != digest(other.path)


def test_the_dump_is_a_tar_of_class_tars_with_imagenet_names(dump, files):
    with tarfile.open(dump.path) as outer:
        members = outer.getmembers()
    assert [member.name for member in members] == sorted(f"{wnid}.tar" for wnid in (*demo.PARENTS, *demo.SMALL_CLASSES))
    assert all((member.mtime, member.uid, member.mode) == (0, 0, 0o644) for member in members)
    assert set(files) >= {f"{wnid}_{number}.JPEG" for wnid in demo.PARENTS for number in range(FEW)}


def test_counts_equal_the_tars(dump, files):
    assert dump.images == len(files)
    assert dump.size == dump.path.stat().st_size
    assert (dump.classes, dump.small_classes) == (len(demo.PARENTS), len(demo.SMALL_CLASSES))
    assert dump.summary()["path"] == str(dump.path)
    assert (dump.odd, dump.broken) == (len(demo.ODD), len(demo.BROKEN))


def test_small_classes_have_less_than_half_the_images(files):
    for wnid in demo.SMALL_CLASSES:
        assert 0 < sum(name.startswith(f"{wnid}_") for name in files) < FEW / 2


def test_parents_equal_wordnets():
    wnids = sorted(demo.PARENTS)
    hierarchy = wordnet_hierarchy(wnids)
    assert {
        wnid: wnids[parent] if parent >= 0 else None for wnid, parent in zip(wnids, hierarchy.parents, strict=True)
    } == demo.PARENTS
    assert hierarchy.level_sizes.tolist() == [4, 8, 13, 4, 4]


def test_classes_are_in_the_published_class_list():
    timm = find_spec("timm")  # found but not imported, which would take seconds
    if timm is None:
        pytest.skip("timm is not installed")
    published = Path(timm.origin).with_name("data") / "_info" / "imagenet21k_miil_synsets.txt"
    assert {*demo.PARENTS, *demo.SMALL_CLASSES} <= set(published.read_text(encoding="ascii").split())


def test_all_files_but_the_broken_ones_decode(files):
    broken = {f"{wnid}_{number}.JPEG" for wnid, number in demo.BROKEN}
    refused = set()
    for name, content in files.items():
        try:
            with Image.open(io.BytesIO(content)) as picture:
                picture.load()
        except (OSError, UnidentifiedImageError):
            refused.add(name)
    assert refused == broken


def test_odd_files_are_odd(files):
    kinds = {}
    for (wnid, number), kind in demo.ODD.items():
        with Image.open(io.BytesIO(files[f"{wnid}_{number}.JPEG"])) as picture:
            kinds[kind] = (picture.format, picture.mode, picture.getexif().get(0x0112), min(picture.size) < 16)
    assert kinds == {
        "grayscale": ("JPEG", "L", None, False),
        "cmyk": ("JPEG", "CMYK", None, False),
        "png": ("PNG", "RGB", None, False),
        "rotated": ("JPEG", "RGB", 6, False),
        "tiny": ("JPEG", "RGB", None, True),
    }


def test_classes_differ_in_their_traits():
    paths = list(demo.traits().values())
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize(("images", "sizes"), [(FEW - 1, (24, 40)), (FEW, (40, 24)), (FEW, (8, 40))])
def test_parameters_out_of_range_are_rejected(tmp_path, images, sizes):
    with pytest.raises(PrepError, match="must be"):
        demo.draw_dump(tmp_path / "raw.tar", images_per_class=images, size_range=sizes)
    assert list(tmp_path.iterdir()) == []

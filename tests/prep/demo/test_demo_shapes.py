"""The demo's dump of a taxonomy that is no WordNet."""

import csv
import shutil

import pytest
from commands import RefusedError, call, digests

from in21k.prep.demo.shapes import MOST_SPECIES, draw_shapes
from in21k.prep.errors import PrepError
from in21k.tree.edges import edge_hierarchy, read_edges


def test_the_folders_are_the_taxonomy_of_the_csv(tmp_path):
    drawn = draw_shapes(tmp_path / "shapes", species=16, images_per_species=1)
    hierarchy, findings = edge_hierarchy(read_edges(drawn.edges))
    assert findings == ()
    assert hierarchy.level_sizes.tolist() == [2, 4, 8, 16]
    assert (len(hierarchy), drawn.classes, drawn.images) == (30, 30, 16)
    above = {row["child"]: row["parent"] for row in csv.DictReader(drawn.edges.open(encoding="utf-8"))}
    folders = sorted(path.relative_to(tmp_path / "shapes") for path in (tmp_path / "shapes").rglob("*.jpg"))
    for folder in (path.parent for path in folders):
        realm, family, genus, species = folder.parts
        assert [above[label] for label in (realm, family, genus, species)] == ["", realm, family, genus]


def test_a_tar_holds_the_same_pictures(tmp_path):
    draw_shapes(tmp_path / "shapes", species=4, images_per_species=2)
    tarred = draw_shapes(tmp_path / "tarred.tar", species=4, images_per_species=2)
    shutil.unpack_archive(tarred.path, tmp_path / "unpacked")
    assert digests(tmp_path / "unpacked") == digests(tmp_path / "shapes")
    assert (tmp_path / "tarred.csv").read_bytes() == (tmp_path / "shapes.csv").read_bytes()


def test_the_same_seed_gives_the_same_pictures_and_another_one_others(tmp_path):
    one, again, other = (tmp_path / name for name in ("one", "again", "other"))
    for path, seed in ((one, 0), (again, 0), (other, 1)):
        draw_shapes(path, seed=seed, species=2, images_per_species=2)
    assert digests(one) == digests(again)
    assert set(digests(one).values()).isdisjoint(digests(other).values())


def test_all_species_differ_and_every_rank_branches(tmp_path):
    drawn = draw_shapes(tmp_path / "all.tar", species=MOST_SPECIES, images_per_species=1)
    hierarchy, _ = edge_hierarchy(read_edges(drawn.edges))
    assert hierarchy.level_sizes.tolist() == [4, 28, 112, 448]


@pytest.mark.parametrize("taken", ["shapes", "shapes.csv"])
def test_nothing_that_is_there_is_replaced(tmp_path, taken):
    (tmp_path / taken).write_text("mine")
    with pytest.raises(RefusedError, match=f"{taken} exists; give another path"):
        call("demo", tmp_path / "shapes", "--tree", "taxonomy")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_a_number_of_species_that_cannot_be_drawn_is_refused(tmp_path):
    with pytest.raises(PrepError, match="give 2 to 448"):
        draw_shapes(tmp_path / "shapes", species=449)


def test_species_are_not_wordnets(tmp_path):
    with pytest.raises(RefusedError, match="--species is for --tree taxonomy"):
        call("demo", tmp_path / "raw.tar", "--species", 4)

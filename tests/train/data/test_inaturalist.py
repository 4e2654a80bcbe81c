"""iNaturalist's annotations as they are downloaded, as a dataset to transfer to, flat and with its taxonomy."""

import json
from pathlib import Path

import numpy as np
import pytest
from downstream import logits_of, one_epoch, top_k
from small_dataset import jpeg
from small_years import CATEGORIES, annotations, write_year

from in21k.train.data.open_data import DataRequest, open_data
from in21k.train.data.open_datasets.inaturalist import open_inaturalist
from in21k.train.data.open_datasets.taxonomy import in_taxonomy
from in21k.train.errors import TrainError
from in21k.tree.table import hierarchy_of

SPECIES = ["Apis mellifera", "Apis cerana", "Felis silvestris", "Felis catus", "Rosa rugosa", "Rosa canina"]


def val_images(root: Path, data) -> tuple[list[bytes], list[int]]:
    listed = data.splits["val"]
    return [(root / key).read_bytes() for key in listed.keys], listed.label_ids.tolist()


@pytest.mark.parametrize("year", ["2019", "2021"])
def test_the_species_are_the_classes_in_the_order_of_their_ids(tmp_path, year):
    data = open_data(DataRequest(str(write_year(tmp_path, year))))
    assert data.classes == SPECIES
    assert data.is_single_label
    assert (data.images_train.tolist(), data.images_val.tolist()) == ([8] * 6, [4] * 6)
    reader = data.reader("train")()
    for sample in reader.collect(range(48)):
        assert bytes(sample.image) == (tmp_path / sample.key).read_bytes()
        assert int(sample.key.rpartition("train")[2].partition(".")[0]) % 6 == sample.class_index


def test_an_epoch_scores_top1_among_species(capsys, tmp_path):
    root = write_year(tmp_path / "inat", "2021")
    summary = one_epoch(capsys, root, tmp_path / "run")
    images, labels = val_images(root, open_inaturalist(root))
    logits = logits_of(tmp_path / "run", images)
    assert (summary["classes"], summary["val_top1"]) == (6, top_k(logits, labels, 1))


def test_the_taxonomy_has_the_species_first_and_the_ranks_above_them(tmp_path):
    data = in_taxonomy(open_inaturalist(write_year(tmp_path, "2021")))
    names = data.hierarchy.wnids
    assert list(names[:6]) == SPECIES
    assert list(names[6:]) == sorted(
        f"{above}{name}"
        for above, below in {
            "": "Animalia Plantae",
            "Animalia/": "Insecta Insecta/Apis Mammalia Mammalia/Felis",
            "Plantae/": "Rosa",
        }.items()
        for name in below.split()
    )
    assert [names[at] for at in data.hierarchy.path(3)] == [
        "Animalia",
        "Animalia/Mammalia",
        "Animalia/Mammalia/Felis",
        "Felis catus",
    ]
    table = data.hierarchy_table()
    assert table["path_names"].to_pylist()[3] == "Animalia > Mammalia > Felis > Felis catus"
    assert hierarchy_of(table, "table").wnids == names
    assert data.images_train.tolist() == [8] * 6 + [0] * 7


def test_the_semantic_recipe_learns_and_scores_each_rank(capsys, tmp_path):
    root = write_year(tmp_path / "inat", "2021")
    summary = one_epoch(capsys, root, tmp_path / "run", "--recipe", "semantic-softmax")
    assert summary["classes"] == 13
    data = in_taxonomy(open_inaturalist(root))
    images, labels = val_images(root, data)
    logits = logits_of(tmp_path / "run", images)
    levels, paths = data.hierarchy.levels, [data.hierarchy.path(label) for label in labels]
    for level, found in summary["val_semantic_top1_by_level"].items():
        rivals = np.flatnonzero(levels == int(level))
        guesses = rivals[logits[:, rivals].argmax(1)]
        hits = [guess == path[int(level)] for guess, path in zip(guesses, paths, strict=True) if len(path) > int(level)]
        assert found == np.mean(hits)


@pytest.mark.parametrize("recipe", ["hierarchical-cross-entropy", "soft-labels"])
def test_other_recipes_that_learn_by_hierarchy_have_the_ranks_as_classes(capsys, tmp_path, recipe):
    root = write_year(tmp_path / "inat", "2021")
    summary = one_epoch(capsys, root, tmp_path / "run", "--recipe", recipe)
    assert summary["classes"] == 13
    assert 0 <= summary["val_hierarchical_f1"] <= 1


def test_names_come_from_the_file_of_categories_where_the_annotations_hide_them(tmp_path):
    hidden = [{"id": at, "name": str(at)} for at in range(6)]
    root = write_year(tmp_path, "2019", categories=hidden)
    assert open_inaturalist(root).classes == list("012345")
    (root / "categories.json").write_text(json.dumps(CATEGORIES))
    data = open_inaturalist(root)
    assert data.classes == SPECIES
    assert data.lineages[0] == ("Animalia", "Insecta", "Apis")


def test_species_of_one_name_stay_two_classes(tmp_path):
    twice = [{**category, "name": "Rosa"} if category["genus"] == "Rosa" else category for category in CATEGORIES]
    assert open_inaturalist(write_year(tmp_path, "2021", categories=twice)).classes[4:] == ["Rosa (4)", "Rosa (5)"]


def test_the_mini_training_images_and_a_folder_elsewhere(tmp_path):
    root = write_year(tmp_path / "inat", "2021")
    mini = annotations([f"train/{at % 6:05d}_Species/train{at}.jpg" for at in range(12)])
    (tmp_path / "train_mini.json").write_text(json.dumps(mini))
    request = DataRequest(str(root), annotations=str(tmp_path / "train_mini.json"))
    assert open_data(request).images_train.tolist() == [2] * 6
    (root / "val.json").rename(tmp_path / "val.json")
    data = open_data(DataRequest(str(tmp_path), images=str(root), layout="inaturalist"))
    assert data.images_train.tolist() == [2] * 6
    (tmp_path / "val.json").unlink()
    assert open_inaturalist(root, val_share=0.25).images_val.tolist() == [2] * 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": [{"id": 70, "file_name": "../x.jpg"}]}, "names the image '../x.jpg', which is outside"),
        ({"images": [{"id": 70, "file_name": "train/none.jpg"}], "annotations": [{"image_id": 70, "category_id": 1}]},
         r"lists 1 image not to be found in .*, such as train/none\.jpg"),
        ({"annotations": []}, "70 is missing, an image without annotation"),
        ({"annotations": [{"image_id": 5, "category_id": 1}]}, "5 is missing, .*an annotation without image"),
        ({"annotations": [{"image_id": 70, "category_id": at} for at in (1, 2)]}, "annotates the image .* twice"),
        ({"categories": [{"id": 0, "name": "a"}]}, "has the category 1, which nothing lists"),
        ({"categories": [{"id": 0}]}, "lists a category without id or name"),
        ({"images": 5}, "is not a file of iNaturalist's annotations"),
        ({"images": [], "annotations": []}, "lists no images"),
    ],
)  # fmt: skip
def test_annotations_that_are_not_sound_are_one_line(tmp_path, changes, message):
    with pytest.raises(TrainError, match=message):
        open_inaturalist(write_year(tmp_path, "2021", **changes))


def test_other_json_beside_class_folders_is_no_annotation(tmp_path):
    for name in ("train/ant/0.jpg", "val/ant/0.jpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(jpeg(0, 0))
    (tmp_path / "train.json").write_text('{"ant": ["0.jpg"]}')
    assert open_data(DataRequest(str(tmp_path))).classes == ["ant"]


def test_no_json_is_one_line(tmp_path):
    root = write_year(tmp_path, "2021")
    (root / "train.json").write_text("[" * 100_000)
    with pytest.raises(TrainError, match=r"train\.json is not JSON"):
        open_inaturalist(root)

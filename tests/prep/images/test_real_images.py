import pandas as pd
import pytest
from commands import call

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def prepared(real_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mini21k")
    summary = call("run", real_data / "mini21k.tar", folder / "work", folder / "out", "--size", 64)
    return summary, folder / "out"


def test_counts_of_mini21k(prepared):
    summary, _ = prepared
    assert (summary["classes_raw"], summary["images_raw"], summary["classes_kept"]) == (59, 29_762, 55)
    assert (summary["val"], summary["classes_short_of_val"]) == (2_750, 0)
    assert summary["train"] + summary["val"] + summary["rejected"] == summary["images_kept"]


def test_five_hundred_images_stay_and_one_less_goes(prepared):
    rows = pd.read_parquet(prepared[1] / "classes.parquet").set_index("wnid")
    assert rows.loc["n02509815", ["images", "kept"]].tolist() == [500, True]
    assert rows.loc["n04146614", ["images", "kept"]].tolist() == [499, False]


def test_every_class_has_fifty_for_validation(prepared):
    rows = pd.read_parquet(prepared[1] / "hierarchy.parquet").set_index("wnid")
    assert len(rows) == 55
    assert (rows["images_val"] == 50).all()
    labels = pd.read_parquet(prepared[1] / "samples.parquet")
    assert labels[labels["split"] == "val"]["class_index"].value_counts().to_dict() == dict.fromkeys(range(55), 50)


def test_dog_is_a_domestic_or_other_animal_at_level_one(prepared):
    rows = pd.read_parquet(prepared[1] / "hierarchy.parquet").set_index("wnid")
    assert (rows.loc["n02084071", "level"], rows.loc["n02084071", "path_names"]) == (1, "animal > dog")
    assert all(path[-1] == index for path, index in zip(rows["path"], rows["class_index"], strict=True))

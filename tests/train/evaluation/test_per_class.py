"""What a model says of each image and each class, against an independent version that goes image by image."""

import math
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hierarchies import batch_of, hierarchies
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_answers import slow_path, slow_probabilities, subtree

from in21k.train.device.ranks import Ranks
from in21k.train.evaluation import predictions
from in21k.train.evaluation.predictions import saved_predictions
from in21k.train.model.level_order import level_order

SCHEMES = st.sampled_from(["single-label", "multi-label", "semantic-softmax"])


class Data(SimpleNamespace):
    """As much of a dataset as the tables take: the keys are the images' numbers."""

    def samples(self, _):
        return self.images

    def listing(self, _):
        return SimpleNamespace(keys=pa.chunked_array([[str(number) for number in range(self.images)]]))

    def hierarchy_table(self):
        return pa.table({"name": [f"name of {wnid}" for wnid in self.hierarchy.wnids]})


def written(folder, hierarchy, size, seed, scheme):
    """The rows of images and classes that two batches of random logits come to; and logits, labels, validity."""
    logits, labels, valid = batch_of(hierarchy, size, seed)
    order, data = level_order(hierarchy), Data(hierarchy=hierarchy, images=size, digest="abc")
    network = SimpleNamespace(order=order, name="net")
    path, ranks = folder / "predictions.parquet", Ranks(torch.device("cpu"))
    with saved_predictions(path, data, network, scheme, ranks, of_sets=False) as saved:
        for part in (slice(0, 5), slice(5, None)):
            saved.update(order.to_rows(logits[part], dim=1), labels[part], valid[part])
    images = pq.read_table(path).to_pylist()
    return images, saved.per_class(None).to_pylist(), (logits.tolist(), labels.tolist(), valid.tolist())


def require_same(found, expected):
    """The same columns with the same values; numbers that are not whole may differ as float32 does."""
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert value == (pytest.approx(expected[name], 1e-4, 1e-6) if isinstance(value, float) else expected[name]), (
            name
        )


def slow_row(hierarchy, logits, label, scheme):
    """The row of an image, by the definitions in docs/formats.md."""
    at_level = [[each for each in range(len(hierarchy)) if hierarchy.levels[each] == level] for level in range(99)]

    def probability(index):
        if scheme == "multi-label":
            return 1 / (1 + math.exp(-logits[index]))
        pool = range(len(hierarchy)) if scheme == "single-label" else at_level[hierarchy.levels[index]]
        return math.exp(logits[index]) / sum(math.exp(logits[each]) for each in pool)

    pool = range(len(hierarchy)) if scheme == "single-label" else at_level[hierarchy.levels[label]]
    guess = max(pool, key=lambda index: logits[index])
    shares = slow_probabilities(hierarchy, logits, scheme)
    answered = [index for index in slow_path(hierarchy, logits, scheme) if shares[index] >= 0.5]
    row = {"class_index": label, "wnid": hierarchy.wnids[label], "guess": guess, "probability": probability(label)}
    row |= {"rank": sum(logits[each] > logits[label] for each in pool), "guess_probability": probability(guess)}
    row["answer"] = answered[-1] if answered else None
    row["answer_probability"] = shares[answered[-1]] if answered else None
    for level in range(hierarchy.num_levels):
        there = level <= hierarchy.levels[label]
        best = max(at_level[level], key=lambda index: logits[index]) if there else None
        row |= {f"guess_{level}": best, f"probability_{level}": probability(best) if there else None}
    return row


@settings(max_examples=40, deadline=None)
@given(hierarchies(), st.integers(1, 12), st.integers(0, 2**31), SCHEMES)
def test_rows_of_images_equal_the_slow_version(tmp_path_factory, hierarchy, size, seed, scheme):
    folder = tmp_path_factory.mktemp("rows")
    images, _, (logits, labels, valid) = written(folder, hierarchy, size, seed, scheme)
    assert [row["key"] for row in images] == [str(number) for number in range(size) if valid[number]]
    for row in images:
        number = int(row.pop("key"))
        require_same(row, slow_row(hierarchy, logits[number], labels[number], scheme))


def slow_class(hierarchy, index, rows):
    """What the rows of a class's images come to, by the definitions in docs/formats.md."""
    if not rows:
        return {}

    def mean(values):
        return sum(values) / len(rows)

    def says(row):
        answer = row["answer"]
        below = len(hierarchy) if answer is None else len(subtree(hierarchy, answer))
        return 1 - math.log(below) / math.log(len(hierarchy))

    path = list(hierarchy.path(index))
    wrong = [row["guess"] for row in rows if row["guess"] != index]
    most = max((wrong.count(each) for each in wrong), default=0)
    right = [[row[f"guess_{level}"] == above for row in rows] for level, above in enumerate(path)]
    return {
        "top1": mean([row["rank"] == 0 for row in rows]),
        "top5": mean([row["rank"] < 5 for row in rows]),
        "probability": mean([row["probability"] for row in rows]),
        "confused_with": min((each for each in wrong if wrong.count(each) == most), default=None),
        "confused_share": most / len(rows) if wrong else None,
        "answer_accuracy": mean([row["answer"] is None or row["answer"] in path for row in rows]),
        "specificity": mean([says(row) for row in rows]),
        "answer_level": mean([-1 if row["answer"] is None else hierarchy.levels[row["answer"]] for row in rows]),
        "semantic_top1": mean([sum(hits) / len(path) for hits in zip(*right, strict=True)]),
        **{f"semantic_top1_{level}": mean(hits) for level, hits in enumerate(right)},
    }


@settings(max_examples=40, deadline=None)
@given(hierarchies(), st.integers(1, 40), st.integers(0, 2**31), SCHEMES)
def test_rows_of_classes_equal_the_slow_version(tmp_path_factory, hierarchy, size, seed, scheme):
    images, classes, _ = written(tmp_path_factory.mktemp("classes"), hierarchy, size, seed, scheme)
    for index, row in enumerate(classes):
        of_class = [image for image in images if image["class_index"] == index]
        own = {"class_index": index, "wnid": hierarchy.wnids[index], "level": int(hierarchy.levels[index])}
        own |= {"name": f"name of {hierarchy.wnids[index]}", "images": len(of_class)}
        found = slow_class(hierarchy, index, of_class)
        if (other := found.get("confused_with")) is not None:
            own["confused_with_name"] = f"name of {hierarchy.wnids[other]}"
        require_same(row, dict.fromkeys(row) | own | found)


def test_the_table_is_written_in_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(predictions, "_GROUP", 4)
    hierarchy = hierarchy_of_two()
    data, order = Data(hierarchy=hierarchy, images=9, digest="abc"), level_order(hierarchy)
    network, path = SimpleNamespace(order=order, name="net"), tmp_path / "p.parquet"
    with saved_predictions(path, data, network, "single-label", Ranks(torch.device("cpu")), of_sets=False) as saved:
        for _ in range(3):
            saved.update(torch.randn(3, 2), torch.tensor([0, 1, 0]), torch.tensor([True, True, False]))
            assert not path.exists()
    file = pq.ParquetFile(path)
    assert [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)] == [4, 2]
    assert file.read()["key"].to_pylist() == ["0", "1", "3", "4", "6", "7"]


def test_a_pass_that_fails_leaves_no_table(tmp_path):
    hierarchy = hierarchy_of_two()
    data, network = (
        Data(hierarchy=hierarchy, images=9, digest=""),
        SimpleNamespace(order=level_order(hierarchy), name=""),
    )
    path, ranks = tmp_path / "p.parquet", Ranks(torch.device("cpu"))
    with pytest.raises(KeyError), saved_predictions(path, data, network, "single-label", ranks, of_sets=False):
        raise KeyError
    assert not list(tmp_path.iterdir())


def hierarchy_of_two():
    from in21k.tree.hierarchy import Hierarchy

    return Hierarchy(("a", "b"), torch.tensor([-1, -1], dtype=torch.int32).numpy())

"""The nearest neighbors and their votes: those of brute force and of scikit-learn, with ties, in blocks of any size."""

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from largest import Largest
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from slow_neighbors import slow_order, slow_shares, whole_similarities

from in21k.train.errors import TrainError
from in21k.train.neighbors.nearest import Nearest, nearest
from in21k.train.neighbors.vectors import UNITS, WIDTH, BlockSizes, similarities, vectors
from in21k.train.neighbors.vote import Votes
from in21k.train.transfer.linear_objective import Labels

CPU = torch.device("cpu")


def near(queries, gallery, k, sizes=None) -> Nearest:
    given_ = [vectors(torch.from_numpy(np.asarray(each, np.float32)), "the test") for each in (queries, gallery)]
    return nearest(*given_, k, CPU, sizes) if sizes else nearest(*given_, k, CPU)


def few_directions(rows):
    """Vectors of few directions and lengths, zeros among them: nearly all of their similarities tie."""
    return arrays.arrays(np.float32, st.tuples(rows, st.just(3)), elements=st.sampled_from([-2, -1, 0, 1, 3]))


@settings(max_examples=80, deadline=None)
@given(
    queries=few_directions(st.integers(1, 5)),
    gallery=few_directions(st.integers(1, 14)),
    sizes=st.builds(BlockSizes, st.integers(1, 6), st.integers(1, 15)),
    data=st.data(),
)
def test_the_nearest_are_those_of_brute_force_with_ties_in_the_order_of_the_gallery(queries, gallery, sizes, data):
    k = data.draw(st.integers(1, len(gallery)))
    expected = [(scores, slow_order(scores)[:k]) for scores in whole_similarities(queries, gallery)]
    found = near(queries, gallery, k, sizes)
    assert found.numbers.tolist() == [order for _, order in expected]
    assert (found.similarities * UNITS).long().tolist() == [[scores[at] for at in order] for scores, order in expected]


@pytest.mark.parametrize("dimensions", [5, 2048])
def test_similarities_are_exact_whatever_the_order_of_their_sums(dimensions):
    random = np.random.default_rng(dimensions)
    values = np.maximum(random.normal(size=(40, dimensions)), 0).astype(np.float32) * random.uniform(0.01, 99, (40, 1))
    given_ = vectors(torch.from_numpy(values.astype(np.float32)), "the test")
    units = given_.units(0, 40, CPU)
    found = similarities(units, units)
    assert torch.equal(found, found.T)
    shuffled = torch.randperm(dimensions)
    assert torch.equal(similarities(units[:, shuffled], units[:, shuffled]), found)
    assert found.tolist() == whole_similarities(values.astype(np.float32), values.astype(np.float32))
    cosines = torch.nn.functional.cosine_similarity(
        given_.values.double()[:, None], given_.values.double()[None], dim=2
    )
    torch.testing.assert_close(found.double() / UNITS, cosines, rtol=0, atol=2e-7)


def test_blocks_of_any_size_give_the_same_bits():
    random = np.random.default_rng(0)
    gallery = random.normal(size=(700, 64)).astype(np.float32)
    gallery[300:400] = gallery[100:200] * 3  # copies of another length
    whole = near(gallery[:90], gallery, 30)
    for sizes in (BlockSizes(1, 700), BlockSizes(7, 1), BlockSizes(64, 333), BlockSizes(1000, WIDTH)):
        found = near(gallery[:90], gallery, 30, sizes)
        assert torch.equal(found.numbers, whole.numbers)
        assert torch.equal(found.similarities, whole.similarities)


def test_a_copy_anywhere_in_the_gallery_ties_exactly_with_its_original():
    random = np.random.default_rng(1)
    rows = random.normal(size=(9000, 33)).astype(np.float32)
    rows[8999], rows[4095], rows[4096] = rows[0], rows[0], rows[0]
    found = near(rows[:1], rows, 5)
    assert found.numbers[0, :4].tolist() == [0, 4095, 4096, 8999]
    assert len(set(found.similarities[0, :4].tolist())) == 1


def test_no_step_takes_more_memory_than_a_block_however_many_pairs_there_are():
    values = torch.randn(20_000, 8)
    given_ = vectors(values, "the test")
    with Largest(values) as largest:
        nearest(given_.chosen(torch.arange(3000)), given_, 5, CPU, BlockSizes(64, 512))
    assert largest.bytes <= max(8 * 64 * 512, 8 * 20_000)  # similarities of a block; the lengths
    assert largest.bytes < 3000 * 20_000 / 200


def test_the_nearest_are_those_of_scikit_learn():
    random = np.random.default_rng(2)
    queries, gallery = random.normal(size=(50, 16)), random.normal(size=(400, 16))
    queries, gallery = queries.astype(np.float32), gallery.astype(np.float32)
    distances, numbers = NearestNeighbors(n_neighbors=20, metric="cosine").fit(gallery).kneighbors(queries)
    found = near(queries, gallery, 20)
    assert found.numbers.tolist() == numbers.tolist()
    np.testing.assert_allclose(found.similarities, 1 - distances, atol=3e-7)


@pytest.mark.parametrize("k", [1, 5, 40])
@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_the_shares_of_one_class_per_image_are_scikit_learns_probabilities(k, temperature):
    random = np.random.default_rng(k)
    queries, gallery = random.normal(size=(30, 8)).astype(np.float32), random.normal(size=(200, 8)).astype(np.float32)
    classes = random.integers(0, 7, 200)
    classes[:7] = range(7)
    model = KNeighborsClassifier(k, metric="cosine", weights=lambda distances: np.exp((1 - distances) / temperature))
    expected = model.fit(gallery, classes).predict_proba(queries)
    votes = Votes(near(queries, gallery, 40), k, Labels(torch.from_numpy(classes), 7), temperature)
    found = torch.cat([shares for shares, _ in votes])
    np.testing.assert_allclose(found, expected, atol=3e-6)
    assert found.argmax(1).tolist() == model.predict(queries).tolist()


@settings(max_examples=60, deadline=None)
@given(
    queries=few_directions(st.integers(1, 4)),
    gallery=few_directions(st.integers(1, 12)),
    knows_all=st.booleans(),
    data=st.data(),
)
def test_the_shares_of_several_classes_are_those_of_brute_force_where_classes_are_unknown_too(
    queries, gallery, knows_all, data
):
    kinds = [0, 1] if knows_all else [0, 1, 2]
    states = [data.draw(st.lists(st.sampled_from(kinds), min_size=4, max_size=4)) for _ in gallery]
    sets = [[at for at in range(4) if row[at] == 1] + [-2 - at for at in range(4) if row[at] == 2] for row in states]
    k, temperature = data.draw(st.integers(1, len(gallery))), data.draw(st.sampled_from([0.07, 1.0]))
    padded = torch.tensor([row + [-1] * (5 - len(row)) for row in sets])
    labels = Labels(torch.arange(len(sets)), 4, padded)
    found = torch.cat([shares for shares, _ in Votes(near(queries, gallery, len(gallery)), k, labels, temperature)])
    expected = [slow_shares(row, k, sets, 4, temperature) for row in whole_similarities(queries, gallery)]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)
    assert [np.argsort(-row, kind="stable").tolist() for row in found.numpy()] == [
        sorted(range(4), key=lambda at: (-row[at], at)) for row in expected
    ]


def test_classes_with_the_same_votes_tie_however_their_neighbors_lie():
    similarity = torch.tensor([[0.95, 0.9, 0.8, 0.8, 0.7, 0.7]]).double()
    labels = Labels(torch.tensor([2, 2, 0, 1, 1, 0]), 3)
    ((shares, _),) = Votes(Nearest(similarity, torch.arange(6)[None]), 6, labels, 0.07)
    assert shares[0, 0] == shares[0, 1]
    assert float(shares.sum()) == pytest.approx(1)


def test_a_temperature_near_0_and_one_without_bound_are_the_nearest_alone_and_a_plain_vote():
    near_, labels = Nearest(torch.tensor([[0.9, 0.8, 0.7]]).double(), torch.tensor([[2, 1, 0]])), [0, 0, 1]
    for temperature, expected in ((1e-300, [0, 1]), (1e300, [2 / 3, 1 / 3])):
        ((shares, _),) = Votes(near_, 3, Labels(torch.tensor(labels), 2), temperature)
        assert shares[0].tolist() == pytest.approx(expected)


def test_vectors_that_are_not_finite_are_an_error():
    with pytest.raises(TrainError, match=r"cars, val: 2 of 3 vectors have values that are not finite"):
        vectors(torch.tensor([[1.0, 2], [torch.nan, 1], [torch.inf, 0]]), "cars, val")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("home", ["cpu", "cuda"])
def test_a_gpu_finds_the_neighbors_and_shares_of_the_cpu(home):
    """Unit vectors may differ in a last bit where their lengths do; whole numbers have the same on both."""
    random = np.random.default_rng(3)
    values = torch.from_numpy(random.integers(-4, 5, (900, 64)).astype(np.float32))
    found = []
    for device, place in ((CPU, "cpu"), (torch.device("cuda", 0), home)):
        given_ = vectors(values.to(place), "the test")
        near_ = nearest(given_.chosen(torch.arange(50)), given_, 20, device, BlockSizes(16, 100))
        labels = Labels((torch.arange(900) % 7).to(device), 7)
        found.append((near_, torch.cat([shares for shares, _ in Votes(near_, 20, labels, 0.07)])))
    (on_cpu, by_cpu), (on_gpu, by_gpu) = found
    assert torch.equal(on_gpu.numbers.cpu(), on_cpu.numbers)
    assert torch.equal(on_gpu.similarities.cpu(), on_cpu.similarities)
    torch.testing.assert_close(by_gpu.cpu(), by_cpu)

"""Ranks, average precision and recall: those of a literal version of Holidays' protocol, ties included."""

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from largest import Largest
from slow_neighbors import holidays_average_precision, slow_ranks, whole_similarities

from in21k.train.neighbors.vectors import BLOCK_SIZES, WIDTH, BlockSizes, vectors
from in21k.train.retrieval import ranking
from in21k.train.retrieval.faiss_search import Guide
from in21k.train.retrieval.ranking import Search, answers
from in21k.train.retrieval.scores import BEST, QueryScores, average_precision

CPU = torch.device("cpu")


def search_of(values, groups, is_query, is_gallery) -> Search:
    whole = vectors(torch.from_numpy(np.asarray(values)), "the test")
    queries, gallery = np.flatnonzero(is_query), np.flatnonzero(is_gallery)
    place = {image: at for at, image in enumerate(gallery.tolist())}
    return Search(
        queries=whole.chosen(torch.from_numpy(queries)),
        gallery=whole.chosen(torch.from_numpy(gallery)),
        query_groups=np.asarray(groups)[queries],
        gallery_groups=np.asarray(groups)[gallery],
        own=np.array([place.get(image, -1) for image in queries.tolist()], np.int64),
    )


def scored(search: Search, sizes=BLOCK_SIZES, guide: Guide | None = None, device=CPU) -> QueryScores:
    scores, places = QueryScores.empty(len(search.queries)), np.arange(len(search.queries))
    if guide is not None:
        found, places = guide.answers(BEST)
        for each in found:
            scores.add(each)
    for each in answers(search, places, BEST, device, sizes):
        scores.add(each)
    return scores


def require_slow(found: QueryScores, values, groups, is_query, is_gallery) -> None:
    """Compare all of it with brute force, query by query."""
    gallery = np.flatnonzero(is_gallery).tolist()
    similar = whole_similarities(values, values)
    for at, query in enumerate(np.flatnonzero(is_query).tolist()):
        relevant = {image for image in gallery if groups[image] == groups[query] >= 0}
        ranks = slow_ranks(similar[query], query, gallery, relevant)
        assert found.relevant[at] == len(ranks)
        assert found.first[at] == (ranks[0] if ranks else -1)
        best = sorted((image for image in gallery if image != query), key=lambda other: (-similar[query][other], other))
        assert [gallery[place] for place in found.best[at] if place >= 0] == best[:BEST]
        assert (found.similarities[at][: len(best)] * 2.0**48).tolist() == [
            similar[query][each] for each in best[:BEST]
        ]
        if ranks:
            assert found.precision[at] == holidays_average_precision(ranks, len(ranks))
        else:
            assert np.isnan(found.precision[at])


@st.composite
def cases(draw):
    """Images of few directions, so that nearly all similarities tie, in groups, with roles of every kind."""
    count = draw(st.integers(1, 16))
    values = draw(arrays.arrays(np.float32, (count, 3), elements=st.sampled_from([-2, -1, 0, 1, 3])))
    groups = np.array(draw(st.lists(st.integers(-1, 3), min_size=count, max_size=count)))
    roles = draw(st.lists(st.sampled_from([(1, 0), (0, 1), (1, 1), (0, 0)]), min_size=count, max_size=count))
    is_query, is_gallery = (np.array([role[side] for role in roles], np.bool_) for side in (0, 1))
    is_gallery[draw(st.integers(0, count - 1))] = True
    return values, groups, is_query, is_gallery


@settings(max_examples=150, deadline=None)
@given(case=cases(), sizes=st.builds(BlockSizes, st.integers(1, 6), st.integers(1, 17)))
def test_ranks_and_scores_are_those_of_holidays_protocol_with_ties_in_the_order_of_the_images(case, sizes):
    require_slow(scored(search_of(*case), sizes), *case)


@settings(max_examples=60, deadline=None)
@given(case=cases(), proposed=st.integers(1, 17))
def test_faiss_changes_nothing_however_little_it_proposes(case, proposed):
    search = search_of(*case)
    require_slow(scored(search, guide=Guide(search, proposed)), *case)


def pictures(count=600, dimensions=48, seed=0):
    """Images in groups of three around a center, with exact copies in other groups."""
    random = np.random.default_rng(seed)
    groups = np.arange(count) // 3
    values = random.normal(size=(count // 3, dimensions))[groups] + 0.7 * random.normal(size=(count, dimensions))
    values[10::50] = 2 * values[9::50]
    return values.astype(np.float32), groups, np.arange(count) % 3 == 0, np.ones(count, np.bool_)


def test_blocks_of_any_size_and_faiss_give_the_same_bits(monkeypatch):
    search = search_of(*pictures())
    whole = scored(search)
    assert 0.3 < whole.summary()["map"] < 0.99
    guide = Guide(search, 64)
    assert 0 < len(guide.answers(BEST)[1]) < len(search.queries)
    others = [scored(search, sizes) for sizes in (BlockSizes(1, 1000), BlockSizes(33, 7), BlockSizes(999, WIDTH))]
    others.append(scored(search, guide=guide))
    monkeypatch.setattr(ranking, "_PLACES", 4)
    for other in (*others, scored(search)):
        for name in ("relevant", "precision", "first", "best", "similarities"):
            np.testing.assert_array_equal(getattr(other, name), getattr(whole, name))


def test_a_group_larger_than_a_block_is_ranked_as_brute_force_ranks_it():
    values, _, _, is_gallery = pictures(90, 5)
    groups, is_query = np.arange(90) % 2, np.arange(90) % 4 == 0
    case = values, groups, is_query, is_gallery
    require_slow(scored(search_of(*case), BlockSizes(8, 16)), *case)


def test_no_step_takes_more_memory_than_a_block_however_many_pairs_there_are():
    values, groups, is_query, is_gallery = pictures(6000, 8)
    search = search_of(values, groups, is_query, is_gallery)
    with Largest(search.gallery.values) as largest:
        scored(search, BlockSizes(32, 256))
    assert largest.bytes <= max(8 * 32 * 256, 8 * 6000)
    assert largest.bytes < 8 * len(search.queries) * len(search.gallery) / 1000


def test_average_precision_is_that_of_the_script():
    assert average_precision([0, 1, 2]) == 1
    assert average_precision([1]) == pytest.approx((0 + 1 / 2) / 2)
    assert average_precision([0, 3]) == pytest.approx(((1 + 1) / 2 + (1 / 3 + 2 / 4) / 2) / 2)
    ranks = np.sort(np.random.default_rng(0).choice(500, 60, replace=False))
    assert average_precision(ranks) == holidays_average_precision(ranks.tolist(), 60)


def test_the_means_are_over_queries_that_have_a_relevant_image():
    values = np.eye(4, dtype=np.float32)
    values[1] = values[0]
    found = scored(search_of(values, np.array([0, 0, 1, -1]), np.ones(4, bool), np.ones(4, bool)))
    assert found.is_scored.tolist() == [True, True, False, False]
    assert found.summary() == {"map": 1.0, "recall_at_1": 1.0, "recall_at_5": 1.0, "recall_at_10": 1.0}


def test_a_tie_across_the_end_of_the_widest_block_goes_to_the_earlier_image():
    values = np.zeros((WIDTH + 1, 2), np.float32)
    values[:, 1] = -1
    values[[0, WIDTH - 1, WIDTH]] = 1
    groups = np.full(WIDTH + 1, -1)
    groups[[0, WIDTH]] = 0
    is_query = np.arange(WIDTH + 1) == 0
    found = scored(search_of(values, groups, is_query, np.ones(WIDTH + 1, bool)), BlockSizes(4, WIDTH))
    assert (found.first[0], found.best[0, :2].tolist()) == (1, [WIDTH - 1, WIDTH])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_ranks_as_brute_force_does():
    values, groups, is_query, is_gallery = pictures(120, 12)
    case = values, groups, is_query, is_gallery
    require_slow(scored(search_of(*case), BlockSizes(16, 50), device=torch.device("cuda", 0)), *case)

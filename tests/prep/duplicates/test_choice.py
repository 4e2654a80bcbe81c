"""Who is dropped, against the slow way: image by image, each compared with all that stay."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from in21k.prep.duplicates.drop import nearest_marked, repeated_in_class
from in21k.prep.duplicates.fingerprints import Fingerprints
from in21k.prep.duplicates.pairs import image_pairs
from in21k.prep.duplicates.twins import find_near_groups, group_images
from in21k.prep.images.fingerprint import MIRRORED

DISTANCE = 3
CENTERS = (0, 0x0123456789ABCDEF, 0x0123456789ABCDEF, 0x0123456789ABCDEF)


@st.composite
def collections(draw):
    """Images: hash, digest, class; many are alike, some of a single color (hash 0)."""
    images = draw(
        st.lists(
            st.tuples(
                st.sampled_from(CENTERS),
                st.sampled_from([0, 0, 1, 3, 7, 15, 31, MIRRORED]),
                st.integers(1, 3),
                st.integers(0, 1),
            ),
            min_size=1,
            max_size=24,
        )
    )
    hashes = np.array([center and center ^ change for center, change, _, _ in images], np.uint64)
    digests = np.array([digest for _, _, digest, _ in images], np.uint64)
    ranks = np.array(draw(st.permutations(range(len(images)))), np.int64)
    marked = np.array(draw(st.lists(st.booleans(), min_size=len(images), max_size=len(images))))
    found = Fingerprints(hashes, np.zeros((len(images), 5), np.uint64), digests)
    return found, np.array([of_class for *_, of_class in images], np.int32), ranks, marked


def distance(found, one, other):
    """Return in how many bits two images differ, None if they are no twins."""
    a, b = int(found.phashes[one]), int(found.phashes[other])
    if not a or not b:
        return 0 if a == b and found.digests[one] == found.digests[other] else None
    apart = min((a ^ b).bit_count(), (a ^ b ^ MIRRORED).bit_count())
    return apart if apart <= DISTANCE else None


@settings(max_examples=200, deadline=None)
@given(collections())
def test_an_image_stays_unless_one_of_its_class_that_stays_is_its_twin(collection):
    found, classes, ranks, alive = collection
    groups = group_images(found)
    near = find_near_groups(groups, found, DISTANCE, crops=False)
    twins = repeated_in_class(groups, near, classes, ranks, alive)
    stays: list[int] = []
    for at in np.argsort(ranks).tolist():
        keepers = [one for one in stays if classes[one] == classes[at] and distance(found, one, at) is not None]
        if alive[at] and not keepers:
            stays.append(at)
        assert (twins.images[at] >= 0) == bool(alive[at] and keepers)
        if twins.images[at] >= 0:
            assert twins.images[at] in keepers


@settings(max_examples=200, deadline=None)
@given(collections())
def test_the_nearest_marked_image_is_the_twin(collection):
    found, _, _, marked = collection
    groups = group_images(found)
    twins = nearest_marked(groups, find_near_groups(groups, found, DISTANCE, crops=False), marked)
    for at in range(len(found)):
        ways = [(apart, one) for one in np.flatnonzero(marked) if (apart := distance(found, at, one)) is not None]
        expected = min(ways, default=(0, -1))
        assert (int(twins.distances[at]), int(twins.images[at])) == expected


@settings(max_examples=200, deadline=None)
@given(collections())
def test_every_pair_of_twins_is_spelled_out_once(collection):
    found = collection[0]
    groups = group_images(found)
    rows = [
        row
        for pairs in image_pairs(groups, find_near_groups(groups, found, DISTANCE, crops=False))
        for row in zip(pairs.first.tolist(), pairs.second.tolist(), pairs.distances.tolist(), strict=True)
    ]
    count = len(found)
    expected = {
        (one, other, apart)
        for one in range(count)
        for other in range(one + 1, count)
        if (apart := distance(found, one, other)) is not None
    }
    assert len(rows) == len(expected)
    assert set(rows) == expected

"""What a model says, as the explorer shows it: pairs, ranks and the choice of images, against slow versions."""

from collections import Counter

import numpy as np
import pytest
from hierarchies import hierarchies
from hypothesis import given
from hypothesis import strategies as st

from in21k.tree import model_overlay
from in21k.tree.explorer_data import MeasureKind
from in21k.tree.model_overlay import ModelAnswers, confused_pairs, images_to_show

ROUNDS = ["wrong", "right", "wrong", "wrong", "right", "wrong", "right", "wrong", "wrong"]


@st.composite
def answered(draw):
    """A hierarchy, and answers of up to 60 images."""
    hierarchy = draw(hierarchies())
    size, seed = draw(st.integers(1, 60)), draw(st.integers(0, 2**31))
    random = np.random.default_rng(seed)
    classes, guesses = random.integers(0, min(len(hierarchy), 5), (2, size))
    images = np.bincount(classes, minlength=len(hierarchy)).astype(np.float64)
    top1 = np.array([np.mean(guesses[classes == at] == at) if images[at] else np.nan for at in range(len(hierarchy))])
    return hierarchy, ModelAnswers("run", "net", images, {"top1": top1}, classes, guesses, random.random(size))


@given(answered(), st.integers(1, 4))
def test_the_most_frequent_pairs_of_each_kind_and_class_are_kept(given_answers, most):
    hierarchy, answers = given_answers
    counts = Counter((a, b) for a, b in zip(answers.classes.tolist(), answers.guesses.tolist(), strict=True) if a != b)
    ordered = sorted(counts, key=lambda pair: (-counts[pair], pair))
    is_within = {pair: hierarchy.path(pair[0])[0] == hierarchy.path(pair[1])[0] for pair in ordered}
    expected = {pair for kind in (True, False) for pair in [each for each in ordered if is_within[each] is kind][:most]}
    expected |= {pair for at in range(len(hierarchy)) for pair in [each for each in ordered if each[0] == at][:2]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_overlay, "MOST_PAIRS", most)
        found = confused_pairs(answers, hierarchy)
    assert [(pair.truth, pair.guess) for pair in found] == sorted(expected, key=lambda pair: (-counts[pair], pair))
    assert all(pair.images == counts[pair.truth, pair.guess] for pair in found)


@given(answered(), st.integers(0, 70))
def test_the_surest_images_of_each_class_are_shown_in_turn(given_answers, most):
    hierarchy, answers = given_answers
    rows = range(len(answers.classes))
    waiting = {}
    for at in range(len(hierarchy)):
        own = sorted((row for row in rows if answers.classes[row] == at), key=lambda row: -answers.confidences[row])
        waiting[at, "right"] = [row for row in own if answers.guesses[row] == at]
        waiting[at, "wrong"] = [row for row in own if answers.guesses[row] != at]
    by_wrong = sorted(range(len(hierarchy)), key=lambda at: (-len(waiting[at, "wrong"]), at))
    expected = [waiting[at, kind].pop(0) for kind in ROUNDS for at in by_wrong if waiting[at, kind]]
    assert images_to_show(answers, most).tolist() == expected[:most]


@given(answered())
def test_measures_weigh_as_images_do_and_the_worst_class_is_first(given_answers):
    hierarchy, answers = given_answers
    overlay = model_overlay.model_overlay(answers, hierarchy, {})
    (top1,) = overlay.measures
    there = answers.images > 0
    assert (top1.kind, top1.name) == (MeasureKind.SHARE, "top-1 accuracy")
    mean = np.average(top1.values[there], weights=top1.weights[there])
    assert mean == pytest.approx(np.mean(answers.classes == answers.guesses))
    ranked = list(overlay.lists[0].classes)
    scores = {at: (top1.values[at], -answers.images[at], at) for at in np.flatnonzero(there).tolist()}
    assert ranked == sorted(scores, key=scores.__getitem__)

"""Errors about mistyped names end with the two that are most like them."""

import subprocess

import pytest
import warm

from in21k.prep.near_classes import class_hint, hint_among
from in21k.shards_manifest.command.nearest import did_you_mean, nearest
from in21k.train.model.architectures import ARCHITECTURES
from in21k.train.model.timm_names import timm_models
from in21k.tree.taxonomy import WordNet

MODELS = [*(architecture.name for architecture in ARCHITECTURES), *timm_models()]


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("resent50", "ResNet50"),
        ("tresnetm", "TResNet-M"),
        ("efficentnet_b0", "efficientnet_b0"),
        ("vit_base", "vit_base_mci_224"),
        ("mixer_b16", "Mixer-B/16"),
        ("resnte50", "ResNet50"),
    ],
)
def test_slips_of_one_letter_beginnings_and_other_marks_lead_to_the_model(name, first):
    found = nearest(name, MODELS)
    assert (found[0], len(found)) == (first, 2)


def test_names_that_are_like_none_and_names_that_are_part_of_one():
    assert nearest("xyzzy", MODELS) == []
    assert nearest("dgo", ["dingo", "dog"]) == ["dog", "dingo"]
    assert nearest("softmax", ["single-label", "semantic-softmax"]) == ["semantic-softmax"]
    assert nearest("", MODELS) == nearest("dog", []) == nearest("dog", ["--"]) == []
    assert did_you_mean("xyzzy", MODELS, "look it up") == "look it up"
    assert did_you_mean("fitler", ["filter", "shard"], "") == "did you mean filter?"


def test_a_class_is_meant_by_its_name_by_a_slip_in_that_or_in_its_wnid():
    assert class_hint("dog", WordNet()).startswith("did you mean n02084071 (dog) or n")
    assert class_hint("golden_retreiver", WordNet()).startswith("did you mean n02099601 (golden retriever)")
    assert class_hint("n0208407", WordNet()).startswith("did you mean n02084071 (dog) or n")


def test_a_class_of_another_taxonomy_is_meant_by_its_label():
    words = {"oak": ["oak"], "q1": ["white oak", "oak tree"]}
    assert hint_among("Oak tree", words, "") == "did you mean q1 (white oak)?"
    assert hint_among("oka", words, "") == "did you mean oak?"
    assert hint_among("fern", words, "give another") == "give another"


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("prep verfy out", "there is no command verfy; did you mean verify?"),
        ("prep run r w o --min-image 3", "there is no option --min-image; did you mean --min-images or --min-side?"),
        ("prep classes fall11", "fall11: there is no such file or folder; did you mean fall11-p?"),
        ("prep tree winter21", "winter21 does not exist; did you mean winter21-p?"),
        (
            "prep filter raw w --class-list in2k",
            "--class-list in2k: no such file, and no list; did you mean in12k or in1k?",
        ),
        ("prep tree in1k --compare in2k", "or a published list; did you mean in12k or in1k?"),
        ("train pretian x", "there is no command pretian; did you mean pretrain?"),
        ("train recipes shwo", "there is no command shwo; did you mean show?"),
        (
            "train recipes show single-lable",
            "there is no recipe 'single-lable'; did you mean single-label or single-label-",
        ),
        (
            "train transfer x --checkpoint c --output o --layout imagefoldr",
            "there is no 'imagefoldr'; did you mean imagefolder?",
        ),
        (
            "train pretrain x --model r --output o --set loss.scheme=sematic",
            "loss.scheme must be semantic-softmax, not 'sematic'",
        ),
    ],
)
def test_programs_ask_what_was_meant(tmp_path, given, line):
    package, *words = given.split()
    command = warm.python("-m", f"in21k.{package}", *words)
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    last = run.stderr.splitlines()[-1]
    assert last.startswith(f"in21k-{package}: error: ")
    assert line in last
    assert list(tmp_path.glob("*")) == []

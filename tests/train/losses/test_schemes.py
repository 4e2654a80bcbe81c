"""Which schemes take which labels."""

from types import SimpleNamespace

import pytest

from in21k.train.errors import TrainError
from in21k.train.losses.schemes import MULTI_LABEL, SCHEMES, check_labels


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_every_scheme_takes_one_class_per_image(scheme):
    check_labels(scheme, SimpleNamespace(name="birds", is_single_label=True))


@pytest.mark.parametrize("scheme", sorted(set(SCHEMES) - MULTI_LABEL))
def test_any_number_of_classes_per_image_is_refused(scheme):
    with pytest.raises(
        TrainError, match=f"birds has images with any number of classes, and loss.scheme={scheme} takes"
    ):
        check_labels(scheme, SimpleNamespace(name="birds", is_single_label=False))


def test_multi_label_takes_any_number_of_classes_per_image():
    check_labels("multi-label", SimpleNamespace(name="birds", is_single_label=False))

"""Which errors say that another rank is gone."""

import pytest

from in21k.train.device.failures import device_errors
from in21k.train.errors import TrainError


@pytest.mark.parametrize(
    "said",
    [
        "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Read error [127.0.0.1]:1: Connection reset by peer",
        "Application timeout caused pair closure",
        "Connection closed by peer [127.0.0.1]:23504",
    ],
)
def test_a_lost_peer_is_one_line(said):
    with pytest.raises(TrainError, match="another rank failed, see its error"), device_errors():
        raise RuntimeError(said)


def test_another_error_stays_what_it_is():
    with pytest.raises(RuntimeError, match="mat1 and mat2"), device_errors():
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

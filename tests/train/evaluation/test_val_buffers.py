"""The buffers of a val pass: each rank has running statistics of its own, and all of them take the first one's."""

import torch
import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore

from in21k.train.config.overrides import with_values
from in21k.train.data.prepared.dataset import open_dataset
from in21k.train.device.ranks import Ranks
from in21k.train.evaluation.val_pass import evaluate_val
from in21k.train.recipes import read_recipe
from in21k.train.run.folder import Start
from in21k.train.run.resolve import resolved
from in21k.train.trainer.build import open_session

VALUES = {"model.name": "test_resnet", "data.batch_size": 12, "data.eval_batch_size": 17, "run.workers": 0}


def test_a_val_pass_takes_the_first_ranks_buffers(dataset_folder, monkeypatch):
    def from_the_first_rank(tensor: torch.Tensor, source: int) -> None:
        assert source == 0
        tensor.fill_(7)

    data = open_dataset(str(dataset_folder))
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    try:
        ranks = Ranks(torch.device("cpu"), 0, 2)
        config = resolved(with_values(read_recipe("semantic-softmax"), VALUES), data, ranks)
        session = open_session(config, data, ranks, Start(None, None))
        monkeypatch.setattr(dist, "broadcast", from_the_first_rank)
        evaluate_val(session.network, session.loss, data, config, ranks)
    finally:
        dist.destroy_process_group()
    buffers = dict(session.network.module.named_buffers())
    assert len(buffers) > 3
    assert all((each == 7).all() for each in buffers.values())

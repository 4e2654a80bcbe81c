"""How far the embedding has come on all ranks."""

import torch
import torch.distributed as dist

from in21k.shards_manifest.command.progress import Timing
from in21k.train.device.ranks import Ranks
from in21k.train.embed.folder import Planned
from in21k.train.embed.progress import FileProgress


class OneNumber(Ranks):
    """A rank of two, whose first one has drawn 0."""

    def broadcast(self, tensor: torch.Tensor) -> None:
        tensor.zero_()


def test_the_first_rank_tells_what_all_have_done(capsys):
    store, now = dist.HashStore(), [0.0]
    files = [Planned(number=at, piece=0, within=at, rows=10) for at in range(4)]
    timing = Timing(first=5.0, every=5.0, clock=lambda: now[0])
    ranks = [OneNumber(torch.device("cpu"), rank, 2, 2, store=store) for rank in (0, 1)]
    first, second = (FileProgress(files, each, timing=timing) for each in ranks)
    for seconds, (progress, images, is_whole) in enumerate([(second, 10, True), (second, 4, False), (first, 6, False)]):
        now[0] = 3.0 * (seconds + 1)
        progress.add(images, is_whole=is_whole)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines] == ["embed: 20 of 40 images (50.0%)"]
    assert lines[0].endswith(", 1 of 4 files")
    second.add(16, is_whole=True)  # told at its end
    second.close()
    now[0] = 20.0
    first.add(4, is_whole=True)
    assert capsys.readouterr().err.splitlines()[0].startswith("embed: 40 of 40 images")

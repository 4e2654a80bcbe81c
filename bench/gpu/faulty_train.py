"""`in21k-train`, one rank of which gets a signal after a step: the script of the checks that interrupt a run.

FAULT=STEP:RANK:SIGNAL python faulty_train.py pretrain …
"""

import os
import signal

from in21k.train.cli.main import main
from in21k.train.trainer import loop

STEP, RANK, SIGNAL = os.environ["FAULT"].split(":")
after_step = loop.Trainer._after_step


def interrupted(trainer: loop.Trainer) -> None:
    """End a step as always, then send the signal if it is this step's and this rank's."""
    after_step(trainer)
    if trainer.tally.step == int(STEP) and trainer.session.ranks.rank == int(RANK):
        os.kill(os.getpid(), signal.Signals[SIGNAL])


loop.Trainer._after_step = interrupted  # type: ignore[assignment]
if __name__ == "__main__":
    main()

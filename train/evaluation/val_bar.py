"""How far a val pass has come."""

from in21k.shards_manifest.command.progress import TIMING, Progress, Timing


class ValBar(Progress):
    """The images of a val pass, counted by batches; mean average precision takes a second pass over them."""

    def __init__(self, samples: int, batch: int, *, shown: bool, timing: Timing = TIMING) -> None:
        """Begin.

        Args:
            samples: of the val split.
            batch: of a step, over all ranks.
            shown: whether anything is shown.
            timing: when lines are due.
        """
        super().__init__("validate", "image", samples, shown=shown, timing=timing)
        self._samples, self._batch = samples, batch

    def batch_done(self) -> bool:
        """Count a batch; return False, so that it can be asked whether to stop."""
        passes, within = divmod(self.done, self._samples)
        count = min(self._batch, self._samples - within)
        self.reach(self.done + count, (passes + 1) * self._samples)
        return False


class PassingValBar(ValBar):
    """A val pass of a run, whose bar goes when it is done."""

    stays = False

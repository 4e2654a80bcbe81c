"""What a run says on stderr before it trains, beyond its start line: notes on what is not as one may expect."""

import sys
from pathlib import Path

from in21k.shards_manifest.errors import one_line
from in21k.train.config.settings import Config
from in21k.train.data.interfaces import TrainingData
from in21k.train.device.ranks import Ranks
from in21k.train.recipes.choice import Choice
from in21k.train.run.folder import Start, log_skipped


def tell_changed(run: Path, changed: list[str], ranks: Ranks) -> None:
    """Say in which values a resumed run's recipe is another one by now."""
    if changed and ranks.is_first:
        _tell(f"{run} goes on with the values that it was started with; its recipe has others: {', '.join(changed)}")


def tell_unusable(start: Start, ranks: Ranks) -> None:
    """Say which newer checkpoints are left alone because they are broken."""
    for reason in start.unusable if ranks.is_first else ():
        print(f"note: {reason}; resuming from {start.checkpoint} instead", file=sys.stderr, flush=True)


def tell_begun(run: Path, start: Start, dataset: TrainingData, asked: Config | Choice, *, resume: bool) -> None:
    """Say what to know of a run whose folder has been begun."""
    if resume and start.checkpoint is None:
        _tell(f"no checkpoint in {run} yet: starting at step 0")
    if isinstance(asked, Choice) and asked.data:
        batch, recipe = asked.config.data.batch_size, asked.recipe.config.data.batch_size
        _tell(f"there are few training images: a batch is of {batch}, not of the recipe's {recipe} (--batch-size)")
    tell_missing(run, start, dataset)


def tell_one_level(config: Config, dataset: TrainingData, ranks: Ranks) -> None:
    """Say what a softmax per level comes to where all classes are on one level."""
    scheme = config.loss.scheme
    if ranks.is_first and scheme.startswith("semantic-") and dataset.hierarchy.num_levels == 1:
        _tell(f"the classes of {dataset.name} have one level, so loss.scheme={scheme} is a softmax over all of them")


def tell_missing(run: Path, start: Start, dataset: TrainingData) -> None:
    """Say how many videos a list has that are not there, and name them all in skipped.csv, at step 0 of a new run."""
    missing = dataset.missing
    if not missing:
        return
    if not start.step:
        log_skipped(run, 0, missing)
    _tell(f"{dataset.name} lists {len(missing):,} videos that are not there and are left out, such as {missing[0]}")


def _tell(text: str) -> None:
    print(f"note: {one_line(text, None)}", file=sys.stderr, flush=True)

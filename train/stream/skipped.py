"""How many images may be skipped because they do not decode: a few are normal, more are a broken disk or copy."""

from in21k.train.errors import TrainError

ALWAYS_ALLOWED = 5
"""Images in one pass that may be skipped, however small the dataset."""


def check_skipped(skipped: int, seen: int, passes: int, share: float, name: str) -> None:
    """Refuse data of which too many images do not decode.

    Args:
        skipped: images that do not decode, over all ranks.
        seen: images read so far, those included.
        passes: passes over the split that have begun; a bad image counts in each of them.
        share: `data.max_skipped`, 0 to 1; at 0 not one image may be skipped.
        name: what messages call the data.

    Raises:
        TrainError: more images are skipped than the share and `ALWAYS_ALLOWED` allow.
    """
    allowed = max(share * seen, ALWAYS_ALLOWED * passes) if share else 0
    if skipped > allowed:
        raise TrainError(
            f"{name}: {skipped} of {seen} images do not decode, more than a share of {share:g} (--max-skipped); "
            "restore the data, or allow more"
        )

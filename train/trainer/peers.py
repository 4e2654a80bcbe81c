"""The other ranks, watched while this one computes: a rank whose peer died may wait for it on the GPU forever.

NCCL notices a lost peer late or not at all, and Python cannot interrupt a wait for the GPU. So a thread watches two
signs: the exchange over gloo after each step, which fails as soon as a peer's connection closes, and a key in the
ranks' store, which a rank sets when it fails or sees another one gone.
"""

import os
import secrets
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import torch

from in21k.train.device.failures import lost_peer
from in21k.train.device.ranks import Ranks
from in21k.train.trainer.preemption import StopRequest

LOOK_SECONDS = 1.0
"""How often the thread looks."""

GRACE_SECONDS = 20.0
"""How long the training thread has to notice a lost peer by itself, which it does unless it waits for the GPU."""

_LEAVE_SECONDS = 10.0
"""How long to wait for the end of the thread, which may be asking the store."""


class LossSign:
    """The key in the ranks' store that says that a rank is lost."""

    def __init__(self, ranks: Ranks) -> None:
        """Agree on a key that no earlier start has set; every rank must call it."""
        number = torch.tensor([secrets.randbits(48)], device=ranks.device)
        ranks.broadcast(number)
        self._store, self._key = ranks.store, f"lost/{int(number)}"

    def give(self) -> None:
        """Tell the other ranks, if they can still be told."""
        with suppress(RuntimeError):
            if self._store is not None:
                self._store.set(self._key, "1")

    def seen(self) -> Exception | None:
        """Return what a rank has told, or that the store is gone with its rank; None if neither."""
        try:
            told = self._store is not None and self._store.check([self._key])
        except RuntimeError as error:
            return error
        return RuntimeError("a rank left") if told else None


@contextmanager
def peers_watched(ranks: Ranks, request: StopRequest, before_end: Callable[[], None]) -> Iterator[None]:
    """End this process, with an error, if a rank is lost and the block does not end for that; every rank calls it.

    Args:
        ranks: this rank among the others.
        request: whose exchange with the other ranks is watched.
        before_end: called before the process ends.
    """
    if ranks.world_size == 1:
        yield
        return
    sign, over = LossSign(ranks), threading.Event()
    thread = threading.Thread(target=_watch, args=(sign, request, before_end, over), name="in21k-peers", daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        sign.give()
        raise
    finally:
        over.set()
        thread.join(_LEAVE_SECONDS)  # a thread that is in the store's C++ while Python ends would abort the process


def _watch(sign: LossSign, request: StopRequest, before_end: Callable[[], None], over: threading.Event) -> None:
    while not over.wait(LOOK_SECONDS):
        failure = request.failure() or sign.seen()
        if failure is None:
            continue
        sign.give()
        if not over.wait(GRACE_SECONDS):
            before_end()
            print(f"in21k-train: error: {lost_peer(failure)}", file=sys.stderr, flush=True)
            os._exit(1)
        return

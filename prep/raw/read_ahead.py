"""Reads a dump's images in large runs, ahead of the decoder that uses them."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from in21k.prep.raw.source import Content, ImageSource, Row, Run

_BYTES_AHEAD = 16 << 20
_READS_AHEAD = 16


def read_ahead(source: ImageSource, rows: Sequence[Row]) -> Iterator[tuple[Row, Content]]:
    """Yield (row, content) for each image, in the given order.

    Args:
        source: where the images' bytes come from.
        rows: where each image is, sorted by archive and offset.

    Raises:
        DatasetError: an archive does not exist, or ends before an image does.
    """
    with ThreadPoolExecutor(source.threads) as readers:
        pending: deque[tuple[Run, Future[list[Content]]]] = deque()
        ahead = 0
        for run in source.runs(rows):
            while pending and (ahead + run.bytes > _BYTES_AHEAD or len(pending) >= _READS_AHEAD):
                ahead -= pending[0][0].bytes
                yield from _images(*pending.popleft())
            pending.append((run, readers.submit(source.read, run)))
            ahead += run.bytes
        while pending:
            yield from _images(*pending.popleft())


def _images(run: Run, read: Future[list[Content]]) -> Iterator[tuple[Row, Content]]:
    yield from zip(run.rows, read.result(), strict=True)

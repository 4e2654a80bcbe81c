"""Embeddings of images: a network's vector for each, written to a folder of Parquet files, killed and resumed at will.

The bytes of the files depend on the images, the weights and the settings alone: every file is embedded from batches of
its own, whichever rank takes it, and however often the command was killed before.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from in21k.shards_manifest.storage.local_files import remove_temporaries
from in21k.train.config.settings import Config, RunConfig
from in21k.train.config.sizes import only_size
from in21k.train.data.partition import FilePlan
from in21k.train.device.backend import same_bits
from in21k.train.device.header import model_text, print_header, step_text
from in21k.train.device.ranks import Ranks, Timeouts, join_ranks
from in21k.train.embed.folder import (
    THREADS,
    Planned,
    begun_settings,
    file_name,
    finished,
    planned_files,
    require_same,
    settings_digest,
    write_begun,
    write_record,
)
from in21k.train.embed.model import open_model, wanted_of
from in21k.train.embed.progress import FileProgress
from in21k.train.embed.request import EmbeddingRequest, settings_of
from in21k.train.embed.rows import FileContent, write_file
from in21k.train.embed.source import EmbeddingSource, open_source
from in21k.train.embed.writer import FileWriter
from in21k.train.errors import TrainError
from in21k.train.model.hub import fetch_on_ranks
from in21k.train.model.layers import classifier_layer, find_layer, pooled, watched
from in21k.train.model.network import Network
from in21k.train.model.on_device import evaluating, prepare_network
from in21k.train.run.lock import RunLock, run_lock
from in21k.train.run.resolve import with_workers
from in21k.train.stream.batch import NamedSample
from in21k.train.stream.decoder import check_skipped
from in21k.train.stream.device_stream import device_stream
from in21k.train.use.predict import MANY

_PATIENCE = Timeouts(start=7 * 24 * 60.0)
"""No rank waits for another but at the end, and then until that one has embedded its last file."""


@dataclass(frozen=True, eq=False)
class _Work:
    """What a rank needs to embed its files."""

    source: EmbeddingSource
    network: Network
    layer: str
    config: Config
    ranks: Ranks
    output: Path
    settings: dict[str, Any]
    digest: str
    """Of the settings."""
    files: list[Planned]
    """Of all ranks."""

    @property
    def images(self) -> int:
        """All images of the source."""
        return sum(planned.rows for planned in self.files)


def embed(request: EmbeddingRequest, output: Path, config: Config, *, resume: bool = False) -> dict[str, Any] | None:
    """Embed images into a folder and return the summary; None on all ranks but the first.

    The folder gets embed.json, embeddings-00000.parquet and so on, and last embeddings.json.

    Args:
        request: what to embed, and how.
        output: the folder.
        config: how images are read, and what computes.
        resume: continue what was begun in the folder.

    Raises:
        DatasetError: the source, the checkpoint, the layer or the folder is not usable, or too many images do not
            decode.
    """
    with join_ranks(config.run.device, _PATIENCE) as ranks, run_lock(output) as lock:
        begun = begun_settings(output, resume=resume)
        fetch_on_ranks(wanted_of(request.checkpoint), ranks)
        model = open_model(request.checkpoint, request.model, only_size(config.data.image_size, "embed"))
        _watched_layer(model.network, request.layer)
        config = replace(config, data=replace(config.data, interpolation=model.interpolation))
        source = open_source(request.source, config, model.image_size, output)
        settings = settings_of(request, config, model, source, ranks.device)
        if begun is not None:
            require_same(output, begun, settings)
            settings[THREADS] = begun[THREADS]
        _begin(output, begun, settings, lock, ranks)
        files = planned_files(source, request.rows)
        work = _Work(
            source=source,
            network=prepare_network(model.network, ranks),
            layer=request.layer,
            config=replace(config, run=_with_workers(config.run, ranks, settings, files)),
            ranks=ranks,
            output=output,
            settings=settings,
            digest=settings_digest(settings),
            files=files,
        )
        with same_bits(config.run, ranks.device, settings[THREADS]), source.caching:
            return _embed_all(work)


def _begin(output: Path, begun: dict[str, Any] | None, settings: dict[str, Any], lock: RunLock, ranks: Ranks) -> None:
    """Let the first rank lock the folder and write the settings, with its number of threads for all ranks."""
    _wait_for_all(ranks)  # before it writes, all have looked into the folder
    threads = torch.tensor([settings[THREADS]], device=ranks.device)
    ranks.broadcast(threads)
    settings[THREADS] = int(threads)
    if ranks.is_first:
        lock.take()
        if begun_settings(output, resume=begun is not None) != begun:
            raise TrainError(f"{output}: another command wrote to it in the meantime; start again")
        remove_temporaries(output)
        if begun is None:
            write_begun(output, settings)
    _wait_for_all(ranks)


def _with_workers(run: RunConfig, ranks: Ranks, settings: dict[str, Any], files: Sequence[Planned]) -> RunConfig:
    """Return the settings with a number of loader processes; by default none for a few images."""
    if run.workers < 0 and sum(planned.rows for planned in files) < MANY:
        return replace(run, workers=0)
    return with_workers(run, ranks, settings["batch_size"], settings["model"]["image_size"])


def _wait_for_all(ranks: Ranks) -> None:
    ranks.sum(torch.zeros(1, device=ranks.device))


def _embed_all(work: _Work) -> dict[str, Any] | None:
    """Embed this rank's files that are not there yet; return the summary on the first rank."""
    ranks, kept = work.ranks, finished(work.output, work.files, work.digest)
    own = [planned for planned in work.files if planned.number % ranks.world_size == ranks.rank]
    left = [planned for planned in own if planned.number not in kept]
    print_header(ranks, work.config.run, _facts(work), work.source.left_out)
    began, faults = time.perf_counter(), sum(facts.faults for facts in kept.values())
    with FileProgress([planned for planned in work.files if planned.number not in kept], ranks) as progress:
        for at in range(len(work.source.pieces)):
            faults = _embed_piece(work, [each for each in left if each.piece == at], progress, faults)
    done = ranks.sum(torch.tensor([sum(planned.rows for planned in left)], device=ranks.device))
    return _completed(work, int(done), time.perf_counter() - began) if ranks.is_first else None


def _facts(work: _Work) -> dict[str, str]:
    """Return what the header says."""
    side = work.settings["model"]["image_size"]
    return {
        "model": model_text(work.network.name, work.network.module),
        "weights": f"SHA-256 {work.settings['model']['weights_sha256'][:12]}",
        "data": f"{work.source.name}: {work.images:,} images",
        "images": f"{side} x {side} pixels",
        "step": step_text(work.settings["batch_size"] * work.ranks.world_size, work.ranks),
    }


def _embed_piece(work: _Work, files: Sequence[Planned], progress: FileProgress, faults: int) -> int:
    """Embed some files of one split; return how many images have not decoded so far.

    Raises:
        TrainError: too many do not.
    """
    if not files:
        return faults
    piece, numbers = work.source.pieces[files[0].piece], {planned.within: planned.number for planned in files}
    rows = work.settings["rows_per_file"]
    plan = FilePlan(piece.images, work.settings["batch_size"], rows, tuple(numbers))

    def write(within: int, content: FileContent) -> None:
        write_file(work.output / file_name(numbers[within]), content, work.source, work.digest)

    dtype: torch.dtype = getattr(torch, work.settings["dtype"])
    with FileWriter(write, dtype, work.ranks.device) as writer:
        for start, vectors, named in _vectors(work, piece.source, plan):
            faults += sum(1 for sample in named if sample.fault)
            _check_faults(work, faults)
            is_whole = writer.add(piece, start // rows, rows, vectors, named)
            progress.add(len(named), is_whole=is_whole)
    return faults


def _vectors(work: _Work, source: Any, plan: FilePlan) -> Iterator[tuple[int, Tensor, tuple[NamedSample, ...]]]:
    """Yield the vectors of each batch, float32 [B, D], with the number of its first image and the names of all."""
    network, device = work.network, work.ranks.device
    layer, name = _watched_layer(network, work.layer), work.layer or "before the classifier"
    with (
        watched(layer, inputs=not work.layer) as seen,
        evaluating(network, device, work.config.run),
        device_stream(source, plan, work.config, device) as batches,
    ):
        for batch in batches:
            network.module(network.inputs(batch.images, device))
            if not seen:
                raise TrainError(f"nothing passes through the layer {name} of {network.name}; name another --layer")
            values = pooled(network, seen[-1], name)
            seen.clear()
            labels = batch.labels
            del batch  # or its memory would stay in use until the next one arrives
            yield labels.start, normalize(values, dim=1) if work.settings["normalized"] else values, labels.named


def _watched_layer(network: Network, name: str) -> torch.nn.Module:
    return find_layer(network, name) if name else classifier_layer(network)


def _check_faults(work: _Work, faults: int) -> None:
    check_skipped(faults, seen=work.images, passes=1, share=work.config.data.max_skipped, name=work.source.name)


def _completed(work: _Work, done: int, seconds: float) -> dict[str, Any]:
    """Write the record, once all files are there, and return the summary."""
    facts = finished(work.output, work.files, work.digest)
    if missing := [planned.number for planned in work.files if planned.number not in facts]:
        raise TrainError(f"{work.output / file_name(missing[0])} is missing; start again with --resume")
    _check_faults(work, sum(each.faults for each in facts.values()))
    record = write_record(work.output, work.settings, work.source, work.files, facts)
    if record["faults"]:
        print(
            f"note: {work.output}: {record['faults']} of {record['images']} images do not decode; they have no vector, "
            "and the column fault says why",
            file=sys.stderr,
        )
    return {
        "output": str(work.output),
        "model": work.settings["model"]["name"],
        "layer": work.settings["layer"],
        "dimensions": record["dimensions"],
        "dtype": work.settings["dtype"],
        "normalized": work.settings["normalized"],
        "images": record["images"],
        "faults": record["faults"],
        "files": len(work.files),
        "images_kept": record["images"] - done,
        "seconds": round(seconds, 2),
        "images_per_second": round(done / seconds, 2),
    }

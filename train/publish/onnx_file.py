"""A model as an ONNX file: traced by torch, described in its metadata, and compared with torch before it is kept."""

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.storage.local_files import atomic_path
from in21k.train.errors import TrainError
from in21k.train.model.model_file import load_network, metadata_texts
from in21k.train.model.network import Network
from in21k.train.use.onnx_network import IMAGES, LOGITS, MAX_BYTES, start_session
from in21k.train.use.trained_model import TrainedModel

OPSET = 18
"""Of the graph's operators: the newest that torch 2.8 writes, which onnxruntime reads from 1.14 on."""

TOLERANCE = 1e-4
"""The largest difference from torch's logits that is accepted, in parts of the largest logit if that is above 1."""

_IMAGES = 3
"""In the batch that is compared; the graph is traced with one image less, and its batch is free."""


def require_onnx(model: TrainedModel) -> None:
    """Refuse a model that cannot become an ONNX file, before anything is written.

    Raises:
        TrainError: the libraries are missing, or the weights are too large for one file.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        raise TrainError("--onnx needs onnx, onnxscript and onnxruntime: pip install 'in21k[onnx]'") from None
    size = sum(tensor.nbytes for tensor in model.network.module.state_dict().values())
    if size > MAX_BYTES * 0.99:  # the graph and the classes take the rest
        raise TrainError(
            f"{model.path}: weights of {size:,} bytes do not fit into an ONNX file, which ends at {MAX_BYTES:,}; "
            "leave out --onnx"
        )


def write_onnx(path: Path, model: TrainedModel) -> None:
    """Write a model as an ONNX file atomically; one whose logits are not torch's is an error, and leaves no file.

    The graph takes normalized images, float32 [N, 3, S, S], and gives logits, float32 [N, C] in class order.

    Raises:
        TrainError: torch cannot trace the model, or onnxruntime does not give its logits.
        DatasetError: the file cannot be written.
    """
    network = load_network(model.path)  # in class order
    graph = _traced(network.module, model.metadata.model, model.metadata.image_size)
    _describe(graph, model)
    content = graph.SerializeToString(deterministic=True)
    require_equal(path, content, network, model.metadata.image_size)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def require_equal(path: Path, content: bytes, network: Network, size: int) -> None:
    """Refuse a graph that does not give a network's logits, for a fixed batch of random pixels.

    Args:
        path: to be written, for messages.
        content: the graph as the file's bytes.
        network: in class order, on the CPU.
        size: side of the images in pixels.

    Raises:
        TrainError: the largest difference is above `TOLERANCE`, or the logits are not finite.
    """
    device = torch.device("cpu")
    pixels = torch.randint(256, (_IMAGES, 3, size, size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    images = network.inputs(pixels, device)
    with torch.inference_mode():
        expected = network.module(images)
    [found] = start_session(path, content, device).run([LOGITS], {IMAGES: images.numpy()})
    largest = float((torch.from_numpy(found) - expected).abs().max())
    accepted = TOLERANCE * max(1.0, float(expected.abs().max()))
    if not largest <= accepted:  # NaN is not, either
        raise TrainError(
            f"{path} was not written: onnxruntime's logits differ from torch's by {largest:.3g}, of which "
            f"{accepted:.3g} are accepted; leave out --onnx"
        )


def _traced(module: nn.Module, name: str, size: int) -> Any:
    images = torch.zeros(_IMAGES - 1, 3, size, size)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # torch's deprecations of itself
            program: Any = torch.onnx.export(
                module,
                (images,),
                dynamo=True,
                input_names=[IMAGES],
                output_names=[LOGITS],
                dynamic_shapes=({0: torch.export.Dim("N")},),
                opset_version=OPSET,
                verbose=False,
            )
            graph = program.model_proto
    except Exception as error:  # whatever class torch has for it
        raise TrainError(f"torch cannot write {name} as ONNX: {one_line(error)}; leave out --onnx") from error
    return graph


def _describe(graph: Any, model: TrainedModel) -> None:
    """Put the model's metadata into the graph, and take out torch's, which names files of this machine."""
    nodes = [*graph.graph.node, *(node for function in graph.functions for node in function.node)]
    for part in (*nodes, *graph.graph.input, *graph.graph.output, *graph.graph.initializer, graph.graph, graph):
        del part.metadata_props[:]
    del graph.graph.value_info[:]  # shapes within, which runtimes infer
    normalization = model.network.normalization
    values = {
        **metadata_texts(model.metadata),
        "mean": json.dumps(normalization.mean),
        "std": json.dumps(normalization.std),
        "classes": json.dumps(list(model.classes.hierarchy.wnids), ensure_ascii=False),
    }
    for key, value in values.items():
        graph.metadata_props.add(key=key, value=value)

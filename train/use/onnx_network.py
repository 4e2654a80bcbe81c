"""An exported ONNX file as a network: checked, and computed by onnxruntime."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from in21k.shards_manifest.errors import errors_naming, one_line
from in21k.shards_manifest.storage.local_files import require_regular
from in21k.train.device.choice import choose_device
from in21k.train.errors import TrainError
from in21k.train.model.level_order import flat_order
from in21k.train.model.model_file import ModelMetadata, parse_metadata
from in21k.train.model.network import Network
from in21k.train.model.normalization import normalization_of

ONNX = "model.onnx"
IMAGES, LOGITS = "images", "logits"
"""The graph's input, float32 [N, 3, S, S], normalized; and its output, float32 [N, C] in class order."""

MAX_BYTES = 2**31 - 1
"""Of an ONNX file, by the limit of its format (protocol buffers)."""

_FLOAT = 1  # onnx.TensorProto.FLOAT
_EXTERNAL = 1  # onnx.TensorProto.EXTERNAL
_CUDA = "CUDAExecutionProvider"


class OnnxModule(nn.Module):
    """Images to logits by onnxruntime, on the device of the images."""

    def __init__(self, path: Path, content: bytes, classes: int) -> None:
        """Take a checked file.

        Args:
            path: for messages.
            content: the file's bytes.
            classes: C.
        """
        super().__init__()
        self._path, self._content, self._classes = path, content, classes
        self._session: Any = None

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, float32 [N, C] in class order on the images' device, for images as the graph takes them.

        Raises:
            TrainError: onnxruntime cannot load or run the graph.
        """
        if self._session is None:
            self._session = start_session(self._path, self._content, images.device)
        try:
            [logits] = self._session.run([LOGITS], {IMAGES: images.float().contiguous().cpu().numpy()})
        except Exception as error:  # whatever class onnxruntime has for it
            raise TrainError(f"{self._path}: onnxruntime cannot run it: {one_line(error)}") from error
        if logits.shape != (len(images), self._classes) or logits.dtype != np.float32:
            raise TrainError(f"{self._path} answers {logits.dtype} {logits.shape}, not {self._classes} logits an image")
        return torch.from_numpy(logits).to(images.device)


def start_session(path: Path, content: bytes, device: torch.device) -> Any:
    """Return onnxruntime's session for an ONNX file, in float32, without the libraries of custom operators.

    Raises:
        TrainError: onnxruntime does not load the file.
    """
    runtime = _onnx_libraries(path)[1]
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what goes wrong is raised
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.type == "cuda":
        providers.insert(0, (_CUDA, {"device_id": device.index or 0, "use_tf32": 0}))
    try:
        return runtime.InferenceSession(content, options, providers=providers)
    except Exception as error:
        raise TrainError(f"{path}: onnxruntime cannot load it: {one_line(error)}") from error


def onnx_device(device: str) -> str:
    """Return the device for a choice of auto, cpu or cuda: what onnxruntime has no support for is not taken by itself.

    Raises:
        TrainError: CUDA is asked for, and this onnxruntime has no support for it.
    """
    chosen = choose_device(device).type
    if chosen != "cuda" or _CUDA in _onnx_libraries(Path(ONNX))[1].get_available_providers():
        return device
    if device == "cuda":
        raise TrainError("onnxruntime has no CUDA here; install onnxruntime-gpu in its place, or pass --device cpu")
    return "cpu"


def read_onnx(path: Path) -> tuple[ModelMetadata, Network]:
    """Return the metadata and the network of a file that `in21k-train export --onnx` wrote.

    The file is not trusted: it must hold all its weights itself, and its inputs and outputs are as the metadata says.

    Raises:
        TrainError: it is not such a file, or the libraries for it are missing.
    """
    onnx = _onnx_libraries(path)[0]
    content = _content(path)
    try:
        graph = onnx.load_model_from_string(content)
        metadata = parse_metadata(path, {entry.key: entry.value for entry in graph.metadata_props})
    except TrainError:
        raise
    except Exception as error:
        raise TrainError(f"{path} cannot be read: {one_line(error)}") from error
    _check(path, graph, metadata)
    network = Network(
        name=metadata.model,
        module=OnnxModule(path, content, metadata.num_classes),
        head=frozenset(),
        order=flat_order(metadata.num_classes),
        normalization=normalization_of(metadata.model, metadata.config.model.inputs),
        channels_last=False,
    )
    return metadata, network


def _onnx_libraries(path: Path) -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
    except ImportError:
        raise TrainError(f"{path} needs onnx and onnxruntime: pip install 'in21k[onnx]'") from None
    return onnx, onnxruntime


def _content(path: Path) -> bytes:
    with errors_naming(str(path)):
        status = path.stat()
        require_regular(status.st_mode, str(path))
        if status.st_size > MAX_BYTES:
            raise TrainError(f"{path}: {status.st_size:,} bytes are more than an ONNX file may have, {MAX_BYTES:,}")
        return path.read_bytes()


def _check(path: Path, model: Any, metadata: ModelMetadata) -> None:
    graph = model.graph
    if any(tensor.data_location == _EXTERNAL for tensor in _tensors([graph, *model.functions])):
        raise TrainError(f"{path} takes weights from other files, which in21k does not write; export the model again")
    size = metadata.image_size
    inputs, outputs = [_described(value) for value in graph.input], [_described(value) for value in graph.output]
    if inputs != [(IMAGES, _FLOAT, [0, 3, size, size])] or outputs != [(LOGITS, _FLOAT, [0, metadata.num_classes])]:
        raise TrainError(f"{path} has other inputs and outputs than its metadata says; export the model again")


def _described(value: Any) -> tuple[str, int, list[int]]:
    tensor = value.type.tensor_type
    return value.name, tensor.elem_type, [dimension.dim_value for dimension in tensor.shape.dim]


def _tensors(graphs: list[Any]) -> Iterator[Any]:
    """Yield all tensors of graphs and functions, those inside their nodes too."""
    while graphs:
        graph = graphs.pop()
        yield from getattr(graph, "initializer", ())
        for sparse in getattr(graph, "sparse_initializer", ()):
            yield from (sparse.values, sparse.indices)
        for attribute in (attribute for node in graph.node for attribute in node.attribute):
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            graphs += [attribute.g, *attribute.graphs]

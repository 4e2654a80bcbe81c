"""ImageNet-21K in one import: a dataset opened, its batches streamed, a trained model asked."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from in21k.dataset import PreparedDataset
    from in21k.dataset import open_dataset as open  # noqa: A004 - as in gzip.open
    from in21k.model import Model, load_model
    from in21k.stream import Stream

    __version__: str

__all__ = ["Model", "PreparedDataset", "Stream", "__version__", "load_model", "open"]

_HOME = {
    "Model": "in21k.model:Model",
    "PreparedDataset": "in21k.dataset:PreparedDataset",
    "Stream": "in21k.stream:Stream",
    "__version__": "importlib.metadata:version",
    "load_model": "in21k.model:load_model",
    "open": "in21k.dataset:open_dataset",
}
"""Where each name is defined, as MODULE:NAME; the module is imported when the name is first asked for."""


if not TYPE_CHECKING:  # to a type checker every name would exist

    def __getattr__(name: str) -> Any:
        """Return a name of the package, which imports what defines it.

        Raises:
            ImportError: the name needs the train extra, which is not installed.
        """
        if name not in _HOME:
            raise AttributeError(f"module 'in21k' has no attribute {name!r}")
        module, _, attribute = _HOME[name].partition(":")
        try:
            value = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            raise ImportError(f"in21k.{name} needs {error.name}: pip install 'in21k[train]'") from error
        globals()[name] = value("in21k") if name == "__version__" else value
        return globals()[name]


def __dir__() -> list[str]:
    from importlib.util import find_spec

    lacking = () if find_spec("torch") else ("Model", "Stream", "load_model")  # help() would fail on them
    return sorted({*globals(), *__all__}.difference(lacking))

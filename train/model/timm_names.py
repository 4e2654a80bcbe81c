"""The names of timm's models and weights, read from its source: timm itself takes seconds to import."""

import re
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from in21k.shards_manifest.command.nearest import nearest
from in21k.train.errors import TrainError
from in21k.train.model.architectures import ARCHITECTURES, find_architecture

OFA = "ofa_595"
"""The paper's network that timm lacks: `ofa` registers it there under this name."""

_MODEL = re.compile(r"^@register_model\s*\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)
_NONE = ".untrained"
_WEIGHTS = re.compile(r"""^\s*["'](\w+\.\w+)["']\s*:\s*_?\w*cfg\w*\(""", re.MULTILINE)

"""What follows `@register_model`, and the keys of the tables of weights; those without a file are left out."""


@cache
def timm_models() -> tuple[str, ...]:
    """Return the names of the models that timm has; empty where timm is not installed."""
    return tuple(sorted({name for text in _sources() for name in _MODEL.findall(text)}))


def timm_weights() -> list[str]:
    """Return the names of the weights that timm has, each a model's with a tag; empty where timm is not installed."""
    return sorted({name for text in _sources() for name in _WEIGHTS.findall(text) if not name.endswith(_NONE)})


def require_architecture(name: str, prefix: str = "") -> None:
    """Refuse a name that is neither the paper's nor timm's, whatever the tag of its weights; an empty one is none.

    What timm may know under a name that this module does not find, timm is left to judge; so is all where it is not
    installed.

    Args:
        name: the name.
        prefix: what was typed before it, where that stands for timm alone.

    Raises:
        TrainError: there is no such model.
    """
    architecture = name.partition(".")[0]
    if not name or find_architecture(name) or architecture in {OFA, *timm_models()} or not _sources():
        return
    if not any(f"'{architecture}'" in text or f'"{architecture}"' in text for text in _sources()):
        raise no_model(name, timm_models(), prefix)


def no_model(name: str, models: Iterable[str], prefix: str = "") -> TrainError:
    """Return the error that timm, whose models are given, has none of a name, nor the paper; after a prefix, timm."""
    known = [*([] if prefix else (architecture.name for architecture in ARCHITECTURES)), *models]
    found = [f"{prefix}{each}" for each in nearest(name, known)]
    hint = f"did you mean {' or '.join(found)}?" if found else "`in21k-train models` and timm.list_models() list some"
    return TrainError(f"timm has no model {name!r}; {hint}")


@cache
def _sources() -> tuple[str, ...]:
    """Return the source of each of timm's files of models, which are 90."""
    found = find_spec("timm")
    folders = [Path(folder) / "models" for folder in found.submodule_search_locations or ()] if found else []
    return tuple(path.read_text(encoding="utf-8") for folder in folders for path in sorted(folder.glob("*.py")))

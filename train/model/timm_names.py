"""The names of timm's models and weights, read from its source: timm itself takes seconds to import."""

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_MODEL = re.compile(r"^@register_model\s*\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)
_NONE = ".untrained"
_WEIGHTS = re.compile(r"""^\s*["'](\w+\.\w+)["']\s*:\s*_?\w*cfg\w*\(""", re.MULTILINE)

"""What follows `@register_model`, and the keys of the tables of weights; those without a file are left out."""


def timm_models() -> list[str]:
    """Return the names of the models that timm has; empty where timm is not installed."""
    return sorted({name for text in _sources() for name in _MODEL.findall(text)})


def timm_weights() -> list[str]:
    """Return the names of the weights that timm has, each a model's with a tag; empty where timm is not installed."""
    return sorted({name for text in _sources() for name in _WEIGHTS.findall(text) if not name.endswith(_NONE)})


@cache
def _sources() -> tuple[str, ...]:
    """Return the source of each of timm's files of models, which are 90."""
    found = find_spec("timm")
    folders = [Path(folder) / "models" for folder in found.submodule_search_locations or ()] if found else []
    return tuple(path.read_text(encoding="utf-8") for folder in folders for path in sorted(folder.glob("*.py")))

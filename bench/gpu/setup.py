"""What a check runs on: the device, its folders, and the sizes that suit the device."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Setup:
    """What a check runs on. A check on a CPU differs from one on a GPU in these values alone."""

    device: str
    """cpu or cuda."""
    scratch: str
    """The folder of everything that is made."""
    name: str = ""
    """Of the check."""
    timm_train: str = ""
    """timm's train.py, if it is to be compared with."""

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device == "cuda"

    @property
    def folder(self) -> Path:
        """The check's own folder."""
        return Path(self.scratch) / self.name

    @property
    def shared(self) -> Path:
        """The folder of what several checks use."""
        return Path(self.scratch) / "shared"

    def pick(self, on_cpu: _Value, on_gpu: _Value) -> _Value:
        """Return the value that suits the device."""
        return on_gpu if self.on_gpu else on_cpu

    def of(self, name: str) -> "Setup":
        """Return the setup of a check."""
        return replace(self, name=name)

    def to_json(self) -> str:
        """Return the setup as text, for a process of its own."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Setup":
        """Return the setup that `to_json` wrote."""
        return cls(**json.loads(text))

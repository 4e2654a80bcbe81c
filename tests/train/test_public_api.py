"""The public Python API: the examples of its pages run, and print what the pages say."""

import importlib
import re
from pathlib import Path

import pytest

from in21k.train.config.settings import Config, DataConfig, ModelConfig
from in21k.train.data.prepared.dataset import open_dataset
from in21k.train.model.level_order import flat_order
from in21k.train.model.model_file import metadata_of, save_model
from in21k.train.model.network import build_network

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = [DOCS.parent / "README.md", DOCS / "own-loop.md", *sorted((DOCS / "api").glob("*.md"))]


def examples(page: Path) -> str:
    """Return the Python of a page, block after block."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE))


def promised(code: str) -> list[str]:
    """Return what each print is said to print, in the comment behind it."""
    return re.findall(r"^ *print\(.*\)  # (.*)$", code, re.MULTILINE)


@pytest.fixture(scope="session")
def example_folder(dataset_folder, tmp_path_factory) -> Path:
    """What the examples find where they run: a dataset, and a model file of its classes."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "imagenet21k").symlink_to(dataset_folder)
    config = Config(model=ModelConfig(name="test_resnet"), data=DataConfig(image_size=32))
    dataset = open_dataset(str(dataset_folder))
    network = build_network(config.model, flat_order(len(dataset.hierarchy)), 32)
    save_model(folder / "model.safetensors", metadata_of(config, dataset, step=0), network.weights())
    return folder


@pytest.mark.parametrize(
    "page", [page for page in PAGES if examples(page)], ids=lambda page: page.relative_to(DOCS.parent).as_posix()
)
def test_examples_print_what_the_page_says(page, example_folder, monkeypatch, capsys):
    monkeypatch.chdir(example_folder)
    code = examples(page)
    exec(compile(code, page.name, "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.splitlines() == promised(code)
    assert promised(code), "an example shows what it gives"


def documented() -> list[str]:
    return [
        name for page in PAGES for name in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]


@pytest.mark.parametrize("name", documented())
def test_what_the_reference_lists_exists(name):
    module, _, attribute = name.rpartition(".")
    assert getattr(importlib.import_module(module), attribute).__doc__


def test_the_reference_lists_the_public_api():
    names = {name.rpartition(".")[2] for name in documented()}
    assert names >= {
        "Hierarchy",
        "hierarchy_table",
        "Manifest",
        "open_dataset",
        "open_stream",
        "build_loss",
        "load_network",
    }

"""The authors' published tree: a reader for the layout of their `imagenet21k_miil_tree.pth`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from in21k.tree.errors import TreeError
from in21k.tree.hierarchy import ROOT, Hierarchy
from in21k.tree.plain_pickle import load_plain

KEYS = ("class_list", "child_2_parent", "class_tree_list", "class_description")


@dataclass(frozen=True, eq=False)
class ReferenceTree:
    """The authors' class list and hierarchy."""

    hierarchy: Hierarchy
    """From `class_list` and `class_tree_list`."""
    names: Mapping[str, str]
    """Description by wnid, from `class_description`."""
    parents: Mapping[str, str]
    """Parent by wnid, from `child_2_parent`; includes synsets that are not classes."""


def read_reference_tree(path: Path) -> ReferenceTree:
    """Return the tree in a file of the authors' layout, without running any code in the file.

    Raises:
        TreeError: the file has a different layout, contradicts itself, or holds more than plain containers.
        OSError: the file cannot be read.
    """
    fields = load_plain(path)
    if not isinstance(fields, dict) or not set(KEYS) <= set(fields):
        raise TreeError(f"{path} is not a class tree, which has the keys {', '.join(KEYS)}")
    wnids = _texts(path, "class_list", fields["class_list"])
    chains = _chains(path, fields["class_tree_list"], len(wnids))
    parents = np.array([chain[1] if len(chain) > 1 else ROOT for chain in chains], np.int32)
    hierarchy = Hierarchy(tuple(wnids), parents)
    wrong = next((i for i, chain in enumerate(chains) if list(hierarchy.path(i))[::-1] != chain), None)
    if wrong is not None:
        raise TreeError(f"{path}: class_tree_list of {wnids[wrong]} contradicts the lists of its ancestors")
    return ReferenceTree(
        hierarchy,
        _text_mapping(path, "class_description", fields["class_description"]),
        _text_mapping(path, "child_2_parent", fields["child_2_parent"]),
    )


def _texts(path: Path, key: str, values: Any) -> list[str]:
    if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
        raise TreeError(f"{path}: {key} is not a list of strings")
    return list(values)


def _text_mapping(path: Path, key: str, values: Any) -> dict[str, str]:
    if not isinstance(values, dict):
        raise TreeError(f"{path}: {key} is not a dictionary")
    return {str(name): str(value) for name, value in values.items()}


def _chains(path: Path, chains: Any, classes: int) -> list[list[int]]:
    """Return the class indices from each class up to its root."""
    if not isinstance(chains, list | tuple) or len(chains) != classes:
        raise TreeError(f"{path}: class_tree_list must have one list per class, {classes} in all")
    for index, chain in enumerate(chains):
        numbers = isinstance(chain, list | tuple) and all(isinstance(i, int) and 0 <= i < classes for i in chain)
        if not numbers or not chain or chain[0] != index:
            raise TreeError(
                f"{path}: class_tree_list[{index}] must be a list of class indices that starts with {index}"
            )
    return [list(chain) for chain in chains]

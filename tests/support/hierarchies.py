"""Random hierarchies for property tests, and the real one."""

from importlib import resources

import numpy as np
import torch
from hypothesis import strategies as st

from in21k.tree.hierarchy import Hierarchy
from in21k.tree.table import wordnet_hierarchy


@st.composite
def hierarchies(draw):
    """Forests of 2 to 30 classes whose indices have nothing to do with their levels."""
    count = draw(st.integers(2, 30))
    parents = [draw(st.integers(-1, child - 1)) for child in range(count)]
    places = draw(st.permutations(range(count)))
    shuffled = np.full(count, -1, np.int32)
    for child, parent in enumerate(parents):
        shuffled[places[child]] = -1 if parent < 0 else places[parent]
    return Hierarchy(tuple(f"n{index:08d}" for index in range(count)), shuffled)


def published_hierarchy() -> Hierarchy:
    """The 11,221 classes of fall11."""
    text = resources.files("timm.data._info").joinpath("imagenet21k_miil_synsets.txt").read_text()
    return wordnet_hierarchy(text.split())


def batch_of(hierarchy, size, seed, dtype=torch.float64, scale=4.0):
    """Random logits in class order, labels, and which of them are valid."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(size, len(hierarchy), generator=generator, dtype=torch.float64) * scale
    labels = torch.randint(len(hierarchy), (size,), generator=generator)
    valid = torch.rand(size, generator=generator) < 0.8
    return logits.to(dtype), labels, valid

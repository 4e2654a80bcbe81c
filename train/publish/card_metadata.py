"""The header of a model card, which the Hugging Face hub reads: license, data, scores, and where weights come from."""

import re
from dataclasses import dataclass
from typing import Any

import timm
from huggingface_hub import EvalResult, ModelCardData

from in21k.train.config.settings import ModelConfig
from in21k.train.errors import TrainError
from in21k.train.publish.run_facts import RunFacts
from in21k.train.use.trained_model import TrainedModel
from in21k.tree.class_lists import PublishedList, class_list_digest, published_class_list
from in21k.tree.wordnet import load_wordnet

_HUB_DATASETS = {
    PublishedList.FALL11: "imagenet-21k-p",
    PublishedList.WINTER21: "imagenet-21k-p",
    PublishedList.IN12K: "imagenet-12k",
    PublishedList.IN1K: "imagenet-1k",
}
"""What model cards on the hub call the data with these classes."""

_METRICS = {
    "val_semantic_top1": ("accuracy", "Semantic top-1"),
    "val_top1": ("accuracy", "Top-1"),
    "val_top5": ("accuracy", "Top-5"),
    "val_map": ("mean_average_precision", "Macro mAP"),
    "val_map_micro": ("mean_average_precision", "Micro mAP"),
}
"""The summary's scores that the hub shows: their type there, and their names."""

_TASK = "image-classification"
_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?")
"""A name on the hub; the hub refuses a card with another one."""


@dataclass(frozen=True)
class License:
    """Under what terms the weights are."""

    id: str
    """The hub's identifier; `other` for terms that have none there."""
    name: str = ""
    """Of other terms."""
    link: str = ""
    """To the terms."""


IMAGENET = License("other", "imagenet", "https://www.image-net.org/download.php")
"""ImageNet's terms of access, as the hub's copies of ImageNet name them: for research and teaching, not commercial."""

UNKNOWN = License("unknown")


def chosen_license(name: str, link: str) -> License | None:
    """Return the license that a user names; None if there is neither a name nor a link.

    Raises:
        TrainError: it is no identifier, or `other` without a link.
    """
    if not name and not link:
        return None
    if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", name):
        raise TrainError(
            f"--license {name!r} is no identifier of the hub; give one such as apache-2.0, cc-by-nc-4.0, or other"
        )
    if name == "other" and not link:
        raise TrainError("--license other says nothing without its terms; add --license-link URL")
    if link and not re.fullmatch(r"https?://[^\s]+", link):
        raise TrainError(f"--license-link {link!r} is no address; give one that begins with https://")
    return License(name, link=link)


def default_license(model: TrainedModel) -> License:
    """Return ImageNet's terms for a model of WordNet's synsets, since only ImageNet labels images with them."""
    wordnet = load_wordnet()
    return IMAGENET if all(wnid in wordnet for wnid in model.classes.hierarchy.wnids) else UNKNOWN


def card_header(model: TrainedModel, facts: RunFacts, terms: License) -> str:
    """Return the header, in YAML, without the lines of dashes around it."""
    data = hub_dataset(model) or facts.data_name
    results = _results(facts, data) if data else []
    card = ModelCardData(
        license=terms.id,
        license_name=terms.name or None,
        license_link=terms.link or None,
        library_name="timm",
        pipeline_tag=_TASK,
        tags=["timm", _TASK, "in21k"],
        datasets=[data] if _ID.fullmatch(data) else None,
        metrics=sorted({result.metric_type for result in results}) or None,
        base_model=hub_base(model.metadata.config.model) or None,
        model_name=model.metadata.model if results else None,
        eval_results=results or None,
    )
    return str(card.to_yaml())


def hub_dataset(model: TrainedModel) -> str:
    """Return what the hub calls the data with exactly this model's classes; empty if it has no name there."""
    for release, name in _HUB_DATASETS.items():
        if class_list_digest(published_class_list(release)) == model.metadata.class_list_sha256:
            return name
    return ""


def hub_base(config: ModelConfig) -> str:
    """Return the hub's name of timm's weights that a run started from; empty if it started from none of them."""
    if not config.pretrained:
        return ""
    known = timm.models.get_pretrained_cfg(config.name)
    place = known.hf_hub_id or ""
    return f"{place}{known.architecture}.{known.tag}" if place.endswith("/") else place


def _results(facts: RunFacts, data: str) -> list[Any]:
    return [
        EvalResult(
            task_type=_TASK,
            task_name="Image classification",
            dataset_type=data,
            dataset_name=data,
            dataset_split="val",
            metric_type=kind,
            metric_name=name,
            metric_value=round(facts.metrics[key], 6),
        )
        for key, (kind, name) in _METRICS.items()
        if isinstance(facts.metrics.get(key), float)
    ]

"""The datasheet: a README.md that is also a Hugging Face dataset card; every number in it comes from the manifest.

Its text is compared by `verify`: rewording it makes every existing dataset differ from its manifest (E602).
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from in21k.shards_manifest.manifest import SPLITS, Manifest

_SPLIT_NAMES = {"train": "train", "val": "validation"}  # Hugging Face's names

_SIZE_CATEGORIES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))

_STEPS = (
    ("In the raw dump", "classes_raw", "images_raw"),
    ("Dropped: too few images", "classes_too_few_images", "images_too_few_images"),
    ("Dropped: wnid not in WordNet 3.0", "classes_unknown_wnid", "images_unknown_wnid"),
    ("Dropped: not in the list of classes", "classes_not_listed", "images_not_listed"),
    ("Dropped: excluded", "classes_excluded", "images_excluded"),
    ("Dropped: in an excluded subtree", "classes_excluded_subtree", "images_excluded_subtree"),
    ("Dropped: outside the chosen subtree", "classes_outside_subtree", "images_outside_subtree"),
    ("Dropped: label not in the taxonomy", "classes_unknown_label", "images_unknown_label"),
    ("Kept by `filter`", "classes_kept", "images_kept"),
    ("Rejected by `split`", None, "rejected_split"),
    ("Rejected by `resize`", None, "rejected_resize"),
    ("Not selected", None, "images_unselected"),
    ("Training samples", None, "train"),
    ("Validation samples", None, "val"),
)
"""Rows of the table of counts: the step, and the manifest's keys for its classes and images."""

_OTHER_COUNTS = (
    ("rejected_filter", "things in the dump that are no images of a class, listed with their reasons"),
    ("damaged_kept", "images that decode with a warning and were kept"),
    ("classes_ancestor", "further classes without images of their own, because they lie above others in the taxonomy"),
    ("classes_short_of_val", "classes with fewer validation samples than asked for, because not enough images decode"),
)

_LICENCE = """\
ImageNet does not own the copyright of the images. Its maintainers give access for **non-commercial research and
educational purposes** only, to those who have accepted their terms of access. Who holds the images answers for using
them within those terms and the rights of the images' owners, and may hand them on only to people who have accepted the
same terms: <https://www.image-net.org/download.php>. Resizing changes nothing of this: do not publish these shards.

The names and the hierarchy come from WordNet 3.0, © Princeton University, under its own licence:
<https://wordnet.princeton.edu/license-and-commercial-use>.
"""

_OWN_TERMS = """\
Whatever terms the images came under still hold: resizing changes nothing of them. Write them down here before you hand
these shards on, in a copy of this file under another name.
"""

_METHOD = """\
@inproceedings{ridnik2021imagenet21k,
  title     = {{ImageNet-21K} Pretraining for the Masses},
  author    = {Ridnik, Tal and Ben-Baruch, Emanuel and Noy, Asaf and Zelnik-Manor, Lihi},
  booktitle = {Proceedings of the NeurIPS Track on Datasets and Benchmarks},
  year      = {2021}
}
"""

_OWN_CITATION = f"""\
Whoever made the images; and for the preparation:

```bibtex
{_METHOD}```
"""

_CITATION = f"""\
```bibtex
{_METHOD}
@inproceedings{{deng2009imagenet,
  title     = {{{{ImageNet}}: A Large-Scale Hierarchical Image Database}},
  author    = {{Deng, Jia and Dong, Wei and Socher, Richard and Li, Li-Jia and Li, Kai and Fei-Fei, Li}},
  booktitle = {{IEEE Conference on Computer Vision and Pattern Recognition}},
  year      = {{2009}}
}}

@article{{miller1995wordnet,
  title   = {{{{WordNet}}: A Lexical Database for {{English}}}},
  author  = {{Miller, George A.}},
  journal = {{Communications of the ACM}},
  volume  = {{38}},
  number  = {{11}},
  year    = {{1995}}
}}
```
"""

_INTEGRITY = """\
`in21k-prep verify DATASET` compares every file with `manifest.json`. SHA-256 of the manifest, without its own last key,
and of the class list, a {label} a line in order of class index:

| What | SHA-256 |
| --- | --- |
| manifest | `{manifest}` |
| class list | `{classes}` |

This file was written from the manifest (schema version {version}) by `in21k-prep sidecars`, which overwrites changes.
"""

_READING = """\
```python
import timm.data, wids, webdataset
from datasets import load_dataset

timm.data.create_dataset("wds/in21k", root="DATASET", split="train")
wids.ShardListDataset("DATASET/train-wids.json")
webdataset.WebDataset("DATASET/train/in21k-train-{…}.tar", shardshuffle=100)
load_dataset("DATASET", split="train", streaming=True)
nvidia.dali.fn.readers.webdataset(paths=[…".tar"], index_paths=[…".idx"], ext=["EXT", "cls"])
```
"""


def datasheet(manifest: Manifest) -> bytes:
    """Return the README.md of a dataset, as UTF-8 Markdown."""
    return "\n".join(_sections(manifest)).encode()


def _sections(manifest: Manifest) -> Iterator[str]:
    yield _front_matter(manifest)
    own = manifest.has_own_taxonomy
    name = _plain(manifest.source.get("name", "unknown dump"))
    yield f"# {name}, prepared\n" if own else f"# ImageNet-21K, prepared: {name}\n"
    yield _summary(manifest)
    yield "## Source\n"
    yield _table(("", ""), ((_words(name), _value(value)) for name, value in manifest.source.items()))
    yield "## What became of the images\n"
    yield _table(("Step", "Classes", "Images"), _steps(manifest.counts))
    yield from _other_counts(manifest.counts)
    yield "Everything that was refused is a row of `rejects.parquet`, with its reason.\n"
    yield "## Shards\n"
    yield _table(("Split", "Shards", "Samples", "Bytes"), _shards(manifest))
    yield "## Parameters\n"
    yield _table(("Stage", "Parameter", "Value"), _parameters(manifest.parameters))
    yield "## Versions\n"
    yield "The imaging libraries decide the bytes of the images.\n"
    yield _table(("Software", "Version"), ((name, _value(value)) for name, value in manifest.versions.items()))
    yield "## Reading it\n"
    yield _READING.replace("EXT", manifest.images.suffix[1:])
    yield "## Licence and terms\n"
    yield _OWN_TERMS if own else _LICENCE
    yield "## How to cite\n"
    yield _OWN_CITATION if own else _CITATION
    yield "## Integrity\n"
    yield _INTEGRITY.format(
        manifest=manifest.digest(),
        classes=manifest.class_list_sha256,
        version=manifest.schema_version,
        label="label" if own else "wnid",
    )


def _front_matter(manifest: Manifest) -> str:
    own = manifest.has_own_taxonomy
    if own:
        name = json.dumps(f"{manifest.source.get('name', 'unknown dump')}, prepared")  # which YAML reads, too
        lines = ["---", f"pretty_name: {name}", "license: unknown"]
    else:
        lines = ["---", "pretty_name: ImageNet-21K, prepared", "license: other"]
        lines += ["license_name: imagenet-terms-of-access"]
        lines += ["license_link: https://www.image-net.org/download.php"]
    lines += ["task_categories:", "- image-classification"]
    lines += ["size_categories:", f"- {_size_category(sum(map(manifest.samples, SPLITS)))}"]
    lines += ["tags:", *([] if own else ["- imagenet"]), "- webdataset"]
    lines += ["configs:", "- config_name: default", "  data_files:"]
    for split in filter(manifest.splits.get, SPLITS):
        lines += [f"  - split: {_SPLIT_NAMES[split]}", f"    path: {split}/*.tar"]
    return "\n".join([*lines, "---", ""])


def _size_category(samples: int) -> str:
    return next((name for limit, name in _SIZE_CATEGORIES if samples < limit), _millions(samples))


def _millions(samples: int) -> str:
    return "1M<n<10M" if samples < 10**7 else "10M<n<100M"


def _summary(manifest: Manifest) -> str:
    images = manifest.images
    labels, tree = "WordNet 3.0 wnids", "semantic tree"
    if manifest.has_own_taxonomy:
        labels, tree = "labels", "tree"
    return (
        f"{manifest.samples('train'):,} training and {manifest.samples('val'):,} validation images of "
        f"{manifest.classes:,} classes as\n"
        f"WebDataset shards: RGB, {images.format.upper()}, {images.dimensions} pixels.\n\n"
        "Each sample is an image and its class index (`.cls`, ASCII). Class indices are the ranks of the classes'\n"
        f"{labels} in byte order: line by line in `synsets.txt`, their names in `classes.txt`. The samples of\n"
        f"a split are shuffled over all of its shards. `hierarchy.parquet` holds the classes' {tree},\n"
        "`samples.parquet` where each sample lies.\n"
    )


def _steps(counts: Mapping[str, int]) -> Iterator[tuple[str, str, str]]:
    for step, classes, images in _STEPS:
        if images in counts:
            yield step, "" if classes is None else _value(counts.get(classes, "")), _value(counts[images])


def _other_counts(counts: Mapping[str, int]) -> Iterator[str]:
    lines = [f"- {_value(counts[name])} {what} (`{name}`)" for name, what in _OTHER_COUNTS if name in counts]
    if lines:
        yield "\n".join(lines) + "\n"


def _shards(manifest: Manifest) -> Iterator[tuple[str, str, str, str]]:
    for split in SPLITS:
        shards = manifest.splits[split]
        yield split, f"{len(shards):,}", f"{manifest.samples(split):,}", f"{sum(shard.bytes for shard in shards):,}"


def _parameters(parameters: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    for stage, chosen in parameters.items():
        for name, value in chosen.items():
            yield stage, _words(name), _value(value)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    numeric = {"Classes", "Images", "Shards", "Samples", "Bytes"}
    rule = ["---:" if name in numeric else "---" for name in head]
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, tuple(rule), *rows))


def _words(name: str) -> str:
    return _plain(name.replace("_", " ").replace("sha256", "SHA-256"))


def _value(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return _plain(value) if value != "" else "–"


def _plain(value: Any) -> str:
    """Return a value as text on one line, escaped so that Markdown shows it literally."""
    text = " ".join(str(value).split())
    return "".join(f"\\{sign}" if sign in "\\`*_|<>[]#" else sign for sign in text)

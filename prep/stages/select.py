"""Which classes and images of a dump are wanted: the user's choice, and what it says of each class."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

from in21k.prep.errors import PrepError
from in21k.prep.near_classes import class_hint, list_hint
from in21k.prep.records import Kept
from in21k.shards_manifest.json_file import is_count
from in21k.shards_manifest.storage.location import locate
from in21k.tree.class_lists import PublishedList, class_list_digest, published_class_list, read_classes
from in21k.tree.subtree import in_subtrees
from in21k.tree.taxonomy import Taxonomy

_SHOWN = 8
"""How many classes a record names; of more it stores the digest."""


@dataclass(frozen=True)
class ImageSelection:
    """Which images of the kept classes are wanted; by default all."""

    max_images_per_class: int = 0
    """The most training images of a class; 0 for no bound."""
    fraction: float = 1.0
    """The share of each class's training images that is wanted."""
    min_side: int = 0
    """Images with a shorter side than this many pixels are rejected."""
    train_list: str = ""
    """SHA-256 of the list of training images; empty where no lists say which images are wanted."""
    val_list: str = ""
    """SHA-256 of the list of validation images."""

    def __post_init__(self) -> None:
        if not (isfinite(self.fraction) and 0 < self.fraction <= 1):
            raise PrepError(f"--fraction {self.fraction}: give more than 0, and at most 1")
        if self.max_images_per_class < 0:
            raise PrepError(f"--max-images-per-class {self.max_images_per_class}: give 1 or more, or 0 for all")
        if not 0 <= self.min_side <= 1 << 16:
            raise PrepError(f"--min-side {self.min_side}: give 0 to {1 << 16} pixels")

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "ImageSelection":
        """Return the selection that the parameters of `filter` store; what they lack has its default.

        Raises:
            ValueError: a value has another type than ours.
        """
        found = {name: stored[name] for name in cls.__dataclass_fields__ if name in stored}
        for name, value in found.items():
            wanted: type = type(getattr(cls, name))
            if not (is_count(value) if wanted is int else isinstance(value, wanted)):
                raise ValueError(f"{name} is {value!r:.60}")
        return cls(**found)

    @property
    def is_listed(self) -> bool:
        """Whether lists say which images are wanted, and in which split."""
        return bool(self.train_list)

    @property
    def thins_out(self) -> bool:
        """Whether some training images are left out without a row for each."""
        return self.fraction < 1 or self.max_images_per_class > 0

    @property
    def of_split(self) -> dict[str, Any]:
        """What `split` takes from it, where that differs from the default."""
        return {name: value for name, value in self.recorded().items() if name != "min_side"}

    def recorded(self) -> dict[str, Any]:
        """Return what differs from the default."""
        default = ImageSelection()
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in values.items() if value != getattr(default, name)}

    def wanted(self, images: int) -> int:
        """Return how many of a class's training images are wanted: more, the larger the fraction; one at least."""
        share = max(min(images, 1), round(self.fraction * images))
        return min(share, self.max_images_per_class) if self.max_images_per_class else share


@dataclass(frozen=True)
class Selection:
    """Which classes and images of a dump are wanted; by default all."""

    classes: frozenset[str] | None = None
    """The only classes that are wanted; None for all."""
    classes_name: str = ""
    """What to call them: a published list's name, or what `named` says."""
    exclude: frozenset[str] = frozenset()
    """Classes that are not wanted."""
    exclude_subtree: frozenset[str] = frozenset()
    """Classes that are not wanted, nor what lies below them on any path."""
    only_subtree: frozenset[str] = frozenset()
    """If there are any: only these classes are wanted, and what lies below them on any path."""
    images: ImageSelection = ImageSelection()
    lists: tuple[Path, Path] | None = None
    """The lists of training and of validation images whose digests `images` has."""

    def recorded(self) -> dict[str, Any]:
        """Return what a stage's record stores: what differs from the default, so that older records stay the same."""
        chosen: dict[str, Any] = {"classes": self.classes_name} if self.classes is not None else {}
        sets = {name: getattr(self, name) for name in ("exclude", "exclude_subtree", "only_subtree")}
        chosen |= {name: named(labels) for name, labels in sets.items() if labels}
        return chosen | self.images.recorded()

    def rules(self) -> list[Kept]:
        """Return the reasons for which classes may be dropped."""
        rules = {
            Kept.NOT_LISTED: self.classes is not None or self.lists is not None,
            Kept.EXCLUDED: self.exclude,
            Kept.EXCLUDED_SUBTREE: self.exclude_subtree,
            Kept.OUTSIDE_SUBTREE: self.only_subtree,
        }
        return [reason for reason, is_given in rules.items() if is_given]

    def dropped(self, labels: Sequence[str], taxonomy: Taxonomy) -> dict[str, Kept]:
        """Return why each class that is not wanted is dropped; of several reasons the first.

        Args:
            labels: the classes, all of which the taxonomy has.
            taxonomy: says what lies above them; of several parents, all count.
        """
        # To walk above every class takes seconds, so it is done only where a subtree is named.
        excluded = set(in_subtrees(labels, self.exclude_subtree, taxonomy.parents)) if self.exclude_subtree else set()
        inside = set(in_subtrees(labels, self.only_subtree, taxonomy.parents)) if self.only_subtree else set(labels)
        rules: list[tuple[Kept, Set[str]]] = [
            (Kept.NOT_LISTED, set() if self.classes is None else set(labels) - self.classes),
            (Kept.EXCLUDED, self.exclude),
            (Kept.EXCLUDED_SUBTREE, excluded),
            (Kept.OUTSIDE_SUBTREE, set(labels) - inside),
        ]
        reasons: dict[str, Kept] = {}
        for reason, unwanted in reversed(rules):
            reasons |= dict.fromkeys(unwanted & set(labels), reason)
        return reasons


EVERYTHING = Selection()


def select(
    *,
    classes: str = "",
    exclude: Sequence[str] = (),
    exclude_subtree: Sequence[str] = (),
    only_subtree: Sequence[str] = (),
    images: ImageSelection = ImageSelection(),
    lists: tuple[Path, Path] | None = None,
    taxonomy: Taxonomy,
) -> Selection:
    """Return the selection that a user describes.

    Args:
        classes: a published list's name or a file of classes; empty for all classes.
        exclude: classes, or files of classes.
        exclude_subtree: classes to leave out with all that lies below them.
        only_subtree: classes to which, with all that lies below them, the choice is confined.
        images: which of their images.
        lists: lists of training and of validation images.
        taxonomy: knows the classes.

    Raises:
        PrepError: there is no such file, list or class.
        TreeError: a file holds no classes.
    """
    for option, labels in (("--exclude-subtree", exclude_subtree), ("--only-subtree", only_subtree)):
        for label in labels:
            _require_known(option, label, taxonomy)
    excluded: set[str] = set()
    for value in exclude:
        if Path(value).is_file():
            excluded.update(read_classes(Path(value)))
        else:
            _require_known("--exclude", value, taxonomy, "and no file")
            excluded.add(value)
    wanted = frozenset(_listed(classes)) if classes else None
    return Selection(
        classes=wanted,
        classes_name=classes if classes in list(PublishedList) else named(wanted or ()),
        exclude=frozenset(excluded),
        exclude_subtree=frozenset(exclude_subtree),
        only_subtree=frozenset(only_subtree),
        images=images if lists is None else _with_lists(images, lists),
        lists=lists,
    )


def spares(val_per_class: int) -> int:
    """Return how many images behind the val images of a class may take the place of one, selected or not."""
    return 10 + val_per_class // 5 if val_per_class else 0


def named(labels: Iterable[str]) -> str:
    """Return a set of classes as one text, in byte order: a few by name, more by their digest."""
    ordered = sorted(labels, key=str.encode)
    if len(ordered) <= _SHOWN:
        return ", ".join(ordered)
    return f"{len(ordered)} classes, sha256 {class_list_digest(ordered)}"


def _with_lists(images: ImageSelection, lists: tuple[Path, Path]) -> ImageSelection:
    for path in lists:
        if not path.is_file():
            raise PrepError(f"--split-file {path}: there is no such file")
    train, val = (locate(path).sha256() for path in lists)
    return replace(images, train_list=train, val_list=val)


def _listed(classes: str) -> Sequence[str]:
    if classes in list(PublishedList):
        return published_class_list(PublishedList(classes))
    if not Path(classes).is_file():
        raise PrepError(f"--classes {classes}: no such file, and no list; {list_hint(classes)}")
    return read_classes(Path(classes))


def _require_known(option: str, label: str, taxonomy: Taxonomy, more: str = "") -> None:
    if label not in taxonomy:
        what = " ".join(filter(None, (f"no class of {taxonomy.source}", more)))
        raise PrepError(f"{option} {label}: {what}; {class_hint(label, taxonomy)}")

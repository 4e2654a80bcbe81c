"""A CSV of images and their groups, with a heading: the columns path and group, and the column role if there is one."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from in21k.train.data.open_datasets.csv_list import csv_rows, is_csv_list
from in21k.train.data.open_datasets.image_files import safe_name
from in21k.train.errors import TrainError

ROLES = ("query", "gallery", "both")
"""Of an image: it is looked up, it is looked for, or both, as where the column is empty or missing."""


@dataclass(frozen=True)
class GroupList:
    """What a CSV says of its images, in its order."""

    source: str
    """The CSV."""
    folder: Path
    """Where its paths begin."""
    paths: list[str]
    groups: list[str]
    """Empty for an image that is relevant to no query."""
    roles: list[str]
    """Of `ROLES`."""

    @property
    def files(self) -> list[Path]:
        """The image files."""
        return [self.folder / path for path in self.paths]


def is_group_list(path: Path) -> bool:
    """Return whether a file is a CSV whose heading has the columns path and group."""
    return is_csv_list(path) and {"path", "group"} <= set(next(csv_rows(path), []))


def read_group_list(path: Path, folder: str = "") -> GroupList:
    """Return what a CSV says.

    Args:
        path: the CSV.
        folder: where its paths begin; by default where it is.

    Raises:
        TrainError: it cannot be read, lacks a column, names an image twice or outside the folder, or a role that is
            none; or no query has anything to find.
    """
    if path.exists() and not path.is_file():  # a pipe could be read once only, or never
        raise TrainError(f"{path} is not a regular file; give a CSV with the columns path and group")
    rows = csv_rows(path)
    heading = next(rows, [])
    if missing := [name for name in ("path", "group") if name not in heading]:
        raise TrainError(f"{path} has no column {missing[0]}; its first line must name path, group and perhaps role")
    paths: list[str] = []
    groups: list[str] = []
    roles: list[str] = []
    for row in rows:
        fields = dict(zip(heading, row, strict=False))
        paths.append(safe_name(fields.get("path", ""), str(path)))
        groups.append(fields.get("group", ""))
        roles.append(fields.get("role", "") or "both")
        if roles[-1] not in ROLES:
            raise TrainError(f"{path} gives {paths[-1]} the role {roles[-1][:80]!r}; give one of {', '.join(ROLES)}")
    if not paths:
        raise TrainError(f"{path} lists no images; write a line 'path,group' for each")
    repeated, times = Counter(paths).most_common(1)[0]
    if times > 1:
        raise TrainError(f"{path} lists {repeated} twice; an image has one group")
    listed = GroupList(str(path), Path(folder) if folder else path.parent, paths, groups, roles)
    _require_something_to_find(listed)
    return listed


def _require_something_to_find(listed: GroupList) -> None:
    """Refuse a CSV by which no query has anything to find."""
    there = Counter(group for group, role in zip(listed.groups, listed.roles, strict=True) if role != "query")
    asked = [
        group and there[group] - (role == "both")
        for group, role in zip(listed.groups, listed.roles, strict=True)
        if role != "gallery"
    ]
    if not any(asked):
        raise TrainError(
            f"{listed.source}: none of its {len(asked)} queries has another image of its group in the gallery; "
            "give some images the same group"
        )

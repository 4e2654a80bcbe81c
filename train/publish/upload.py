"""An exported folder on the Hugging Face hub: what may be written there is asked first, then it is one commit."""

import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.utils import HFValidationError, disable_progress_bars, validate_repo_id

from in21k.shards_manifest.errors import one_line
from in21k.train.errors import TrainError

_OF_A_NEW_REPOSITORY = ".gitattributes"
_FORBIDDEN = (401, 403)


@dataclass(frozen=True)
class Upload:
    """Where a folder is to go, and what it may do there."""

    repo: str
    """OWNER/NAME of a model on the hub, which need not exist."""
    public: bool = False
    """Whether everyone may see it."""
    overwrite: bool = False
    """Whether files of the same names may be replaced, where the repository has files."""


@dataclass(frozen=True)
class Destination:
    """A repository as it is before the upload."""

    exists: bool
    commit: str | None = None
    """Its newest commit: if another one comes between, the upload fails."""


def check_upload(upload: Upload) -> Destination:
    """Return what there is to upload to, before anything is computed or written.

    Raises:
        TrainError: it is no OWNER/NAME, nobody is logged in, the hub does not answer, or the repository has files or a
            visibility that the upload was not meant for.
    """
    _require_name(upload.repo)
    if get_token() is None:
        raise TrainError(f"--push {upload.repo} needs a login: run `hf auth login`, or set HF_TOKEN")
    try:
        with _hub_errors(upload.repo):
            found: Any = HfApi().model_info(upload.repo)
    except RepositoryNotFoundError:
        return Destination(exists=False)
    names = sorted(each.rfilename for each in found.siblings or () if each.rfilename != _OF_A_NEW_REPOSITORY)
    if names and not upload.overwrite:
        raise TrainError(
            f"{upload.repo} on the hub already holds {names[0]}"
            + (f" and {len(names) - 1} more" if names[1:] else "")
            + "; give another name, or --overwrite, which replaces files of the same names"
        )
    if bool(found.private) == upload.public:
        raise TrainError(
            f"{upload.repo} on the hub is private; make it public there, or leave out --public"
            if upload.public
            else f"{upload.repo} on the hub is public; add --public, or give another name"
        )
    return Destination(exists=True, commit=found.sha)


def push(folder: Path, names: Sequence[str], own: Sequence[str], upload: Upload, there: Destination) -> str:
    """Upload files of a folder in one commit; return the address of the commit.

    Args:
        folder: with the files.
        names: of the files.
        own: all names that such a folder may have: those that this one lacks are deleted there.
        upload: where to.
        there: what `check_upload` returned.

    Raises:
        TrainError: the hub refuses it, or does not answer; the folder stays.
    """
    hub = HfApi()
    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        with _hub_errors(upload.repo), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*about to commit a data file.*")  # hierarchy.parquet
            if not there.exists:
                hub.create_repo(upload.repo, private=not upload.public)
            commit = hub.upload_folder(
                repo_id=upload.repo,
                folder_path=folder,
                allow_patterns=list(names),
                delete_patterns=[name for name in own if name not in names],
                commit_message="Export by in21k",
                parent_commit=there.commit,
            )
    except (TrainError, RepositoryNotFoundError) as error:
        raise TrainError(
            f"{one_line(error, longest=None)}; {folder} is complete: "
            f"hf upload {upload.repo} {folder} .{'' if upload.public else ' --private'}"
        ) from error
    return str(commit.commit_url)


def _require_name(repo: str) -> None:
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise TrainError(f"--push {repo!r} is no OWNER/NAME: {one_line(error)}") from None
    if not re.fullmatch(r"[^/]+/[^/]+", repo):
        raise TrainError(f"--push {repo!r} is no OWNER/NAME; name your account or organization, too")


@contextmanager
def _hub_errors(repo: str) -> Iterator[None]:
    """Turn what goes wrong within the block into one line; that there is no such repository passes."""
    try:
        yield
    except RepositoryNotFoundError:
        raise
    except Exception as error:  # of several HTTP libraries, by huggingface_hub's version
        status = getattr(getattr(error, "response", None), "status_code", None)
        hint = "; use a token that may write there (`hf auth login`, or HF_TOKEN)" if status in _FORBIDDEN else ""
        reason = one_line(getattr(error, "server_message", None) or error)  # without address and request id
        raise TrainError(f"{repo} on the hub: {reason}{hint}") from error

"""What `--version` prints: the program's version, and those of what it stands on, for a report of a bug."""

import platform
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version

import click

from in21k.shards_manifest.command.help import Command

_IMAGING = ("pillow-simd", "pillow", "simplejpeg", "opencv-python-headless")
_TABLES = ("numpy", "pyarrow")
_TRAINING = ("torch", "torchvision", "timm")


def version_option(program: str) -> Callable[[Command], Command]:
    """Return the decorator that gives a program its `--version`; nothing that it names is imported for it."""

    def print_versions(context: click.Context, _: click.Parameter, is_given: bool) -> None:
        if is_given and not context.resilient_parsing:
            click.echo("\n".join(version_lines(program)))
            context.exit()

    return click.option(
        "--version",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=print_versions,
        help="Show the version, and those of what it stands on, and exit.",
    )


def version_lines(program: str) -> Iterator[str]:
    """Yield the program's version, Python's and the system's, and those of the packages that results depend on."""
    yield f"{program}, version {version('in21k')}"
    yield f"Python {platform.python_version()}, {platform.system()} {platform.release()}, {platform.machine()}"
    for names in (_IMAGING, _TABLES, _TRAINING):
        found = [f"{name} {number}" for name in names if (number := _version_of(name))]
        yield ", ".join(found) or f"no {names[0]}"


def _version_of(package: str) -> str:
    """Return a package's version, empty where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""

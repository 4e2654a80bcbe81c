"""What several test files share: a small raw dump with all that real ones have, and the dataset made of it."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

# Before anything imports torch: threads of several small runs only stand in each other's way, and losses in the last
# digit depend on their number.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# And before OpenCV and torchvision, which bring a libwebp too: Pillow uses the first one, and datasets record which.
import PIL.WebPImagePlugin  # noqa: F401
import pytest
from commands import call
from dumps import HTML, KEPT, MIN_IMAGES, PIPELINE, TRUNCATED, images_of, make_dump, odd_images, read_dump
from hypothesis import settings
from processes import started_with

from in21k.shards_manifest.manifest import read_manifest
from in21k.shards_manifest.storage.location import locate

settings.register_profile("in21k", deadline=None, max_examples=40)
settings.register_profile("thorough", deadline=None, max_examples=200)  # in `make test-slow`
settings.load_profile("in21k")

SLOW_TIMEOUT = 1800
os.environ["IN21K_TESTS"] = str(os.getpid())  # marks the processes that the tests of this process start


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Count guards among the slow tests, before `-m` selects, mark properties, and give slow tests half an hour."""
    for item in items:
        if getattr(getattr(item, "function", None), "is_hypothesis_test", False):
            item.add_marker(pytest.mark.property)
        if item.get_closest_marker("guard"):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_TIMEOUT))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """End what a test that ran out of time has started: pytest-timeout leaves hung children alone."""
    if call.excinfo and str(call.excinfo.value).startswith("Timeout (>"):
        current = f"{item.nodeid} ({call.when})"
        for process in started_with(IN21K_TESTS=str(os.getpid()), PYTEST_CURRENT_TEST=current):
            os.kill(process, signal.SIGKILL)


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """Let what this process writes reach the disk when it likes: no test takes the power away.

    That bytes are asked to reach it before they have their name is in test_write_order.py.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


def threads() -> int | None:
    """How many threads PyTorch computes with; None before anything imports it."""
    torch = sys.modules.get("torch")
    return None if torch is None else torch.get_num_threads()


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """Fail a test that leaves PyTorch with another number of threads, which would slow all that come after it."""
    before = threads()
    yield
    assert before is None or threads() == before


@pytest.fixture(scope="session")
def small_dump(tmp_path_factory) -> Path:
    """A dump of five classes that stay, one too small, one unknown; dogs are odd, some cows are broken."""
    classes = {wnid: images_of(wnid, count) for wnid, count in KEPT.items()}
    for at, data in enumerate(odd_images().values()):
        classes["n02084071"][at] = (classes["n02084071"][at][0], data)
    for at, data in {0: TRUNCATED, 1: b"", 10: HTML}.items():
        classes["n01887787"][at] = (f"n01887787_{at}.JPEG", data)
    classes["n04146614"] = images_of("n04146614", MIN_IMAGES - 1)
    classes["n99999999"] = images_of("n99999999", MIN_IMAGES + 1)
    backwards = dict(sorted(classes.items(), reverse=True))
    return make_dump(tmp_path_factory.mktemp("dump") / "small.tar", backwards)


@pytest.fixture(scope="session")
def dataset(small_dump, tmp_path_factory) -> SimpleNamespace:
    """The small dump prepared: `raw`, `work`, `out`, `files` (the dump's by wnid and name) …; not to be changed."""
    folder = tmp_path_factory.mktemp("dataset")
    work, out = folder / "work", folder / "out"
    summary = call("run", small_dump, work, out, *PIPELINE, "--workers", 1)
    manifest = read_manifest(locate(out))
    return SimpleNamespace(
        raw=small_dump, work=work, out=out, files=read_dump(small_dump), manifest=manifest, summary=summary
    )


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images; tests that want it are marked `real`."""
    folder = os.environ.get("IN21K_REAL_DATA")
    if not folder:
        pytest.skip("IN21K_REAL_DATA names no folder of real images")
    return Path(folder)

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("prep", "shards_manifest", "train", "tree")
TOP = "api"
"""The folder that is in21k itself."""


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def test_prep_starts_without_torch():
    script = Path(sys.executable).with_name("in21k-prep")
    run = subprocess.run(
        [sys.executable, "-X", "importtime", script, "--help"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert "Usage:" in run.stdout
    imported = {line.rpartition("|")[2].strip() for line in run.stderr.splitlines() if line.startswith("import time:")}
    assert "in21k.prep.cli.main" in imported
    assert {name for name in imported if is_within(name, "torch") or is_within(name, "timm")} == set()


def test_the_readme_names_every_extra():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (named,) = re.findall(r"\nExtras: (.*?)\n\n", (ROOT / "README.md").read_text(), re.DOTALL)
    assert sorted(re.findall(r"`(\w+)` \(", named)) == sorted(extras.keys() - {"dev"})


def test_the_citation_file_is_of_this_version_and_names_the_paper():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()  # what the format requires
    assert cited["cff-version"] == "1.2.0"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for key, value in (("version", project["version"]), ("keywords", project["keywords"])):
        assert cited[key] == value
    assert cited["license"] in project["license"].split(" AND ")
    (paper,) = cited["references"]
    readme = (ROOT / "README.md").read_text()
    entry = readme.partition("```bibtex\n")[2].partition("```")[0]
    assert paper["title"] in entry
    assert paper["identifiers"][0]["value"].removeprefix("arXiv:") in entry
    names = [f"{author['given-names']} {author['family-names']}" for author in paper["authors"]]
    assert f"{{{' and '.join(names)}}}" in entry


def test_wheel_ships_every_file_of_the_packages(tmp_path):
    source, wheels = tmp_path / "source", tmp_path / "wheels"
    source.mkdir()
    for name in (*PACKAGES, TOP):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    run = subprocess.run([*pip, "--wheel-dir", wheels, source], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    (wheel,) = wheels.glob("in21k-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {
        f"in21k/{path.relative_to(ROOT / TOP if name == TOP else ROOT).as_posix()}"
        for name in (*PACKAGES, TOP)
        for path in (ROOT / name).rglob("*")
        if path.is_file()
    }
    assert shipped == {name for name in wanted if "__pycache__" not in name}
    assert {"in21k/py.typed", *(f"in21k/{name}/py.typed" for name in PACKAGES)} <= shipped


def locked(name: str) -> dict[str, set[Version]]:
    """Return the versions that a file in requirements/ pins, by normalized name."""
    pins: dict[str, set[Version]] = {}
    for line in (ROOT / "requirements" / name).read_text(encoding="ascii").splitlines():
        if match := re.match(r"([a-z0-9][a-z0-9.-]*)==(\S+)", line):
            pins.setdefault(match[1], set()).add(Version(match[2]))
    return pins


@pytest.mark.parametrize("name", ["lock.txt", "docs.txt", "mutate.txt", "pillow.txt", "pillow-simd.txt"])
def test_locked_packages_have_hashes_and_no_address(name):
    text = (ROOT / "requirements" / name).read_text(encoding="ascii")
    assert "://" not in text
    assert not re.search(
        r"^\s*-", re.sub(r"^ +--hash=sha256:[0-9a-f]{64}( \\)?$", "", text, flags=re.MULTILINE), re.MULTILINE
    )
    assert not re.search(r"^\S*==[^\\\n]*$", text, re.MULTILINE), "a pin without a hash"


def test_lock_satisfies_pyproject_and_leaves_the_imaging_backend_open():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = [
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        project["build-system"]["requires"],
    ]
    pins = locked("lock.txt")
    assert not {"pillow", "pillow-simd"} & pins.keys()
    pins |= locked("pillow.txt")
    unmet = [line for group in groups for line in group if not satisfied(Requirement(line), pins)]
    assert unmet == [], "run make lock"


@pytest.mark.parametrize("group", ["docs", "mutate"])
def test_the_lock_of_a_tool_satisfies_pyproject_without_the_projects_own_packages(group):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = project["dependency-groups"][group]
    pins = locked(f"{group}.txt")
    assert [line for line in wanted if not satisfied(Requirement(line), pins)] == [], "run make lock"
    assert not {"torch", "numpy"} & pins.keys()


def satisfied(requirement: Requirement, pins: dict[str, set[Version]]) -> bool:
    versions = pins.get(requirement.name.lower(), set())
    return bool(versions) and all(version in requirement.specifier for version in versions)


def test_dockerfile_builds_with_make_targets_that_exist():
    dockerfile = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    commands = [line.removeprefix("RUN ") for line in dockerfile.splitlines() if line.startswith("RUN ")]
    ours = [command.split() for command in commands if not command.startswith("apt-get ")]
    targets = set(re.findall(r"^([a-z][a-z-]*):(?!=)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert ours
    assert all(words[0] == "make" and set(words[1:]) <= targets for words in ours), ours
    assert 'ENTRYPOINT ["in21k-prep"]' in dockerfile

"""The pinned dependencies are complete, hashed, and free of any address."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
PYTHONS = ("3.11.7", "3.12.1", "3.13.0")


def pins(file: str) -> list[Requirement]:
    text = re.sub(r" \\\n +--hash=sha256:[0-9a-f]{64}", "", (ROOT / file).read_text(encoding="utf-8"))
    return [Requirement(line) for line in text.splitlines() if not line.startswith("#")]


def versions(file: str, python: str) -> dict[str, str]:
    """Return the versions that pip installs on Linux, by name."""
    environment = {
        "python_full_version": python,
        "python_version": python.rpartition(".")[0],
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
    }
    applying = [pin for pin in pins(file) if pin.marker is None or pin.marker.evaluate(environment)]
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in applying}


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("requirements.txt", []),
        ("requirements-api.txt", ["api"]),
        ("constraints.txt", [*EXTRAS]),
    ],
)
def test_everything_the_project_declares_is_pinned(file: str, wanted: list[str], python: str) -> None:
    declared = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["build"]]
    declared += [line for extra in wanted for line in EXTRAS[extra]]
    pinned = versions(file, python)
    needs = [Requirement(line) for line in declared]
    unmet = [
        str(need)
        for need in needs
        if not (version := pinned.get(canonicalize_name(need.name))) or version not in need.specifier
    ]
    assert unmet == [], f"{file} is older than pyproject.toml: run `bash .ci/lock`"


def test_what_builds_the_project_is_pinned() -> None:
    group = {Requirement(line).name for line in PROJECT["dependency-groups"]["build"]}
    assert group >= {Requirement(line).name for line in PROJECT["build-system"]["requires"]}


@pytest.mark.parametrize("python", PYTHONS)
def test_running_uses_the_versions_that_are_tested(python: str) -> None:
    tested = versions("constraints.txt", python)
    run = versions("requirements.txt", python)
    assert run == {name: tested.get(name) for name in run}
    assert len(run) < len(tested)


@pytest.mark.parametrize("file", ["requirements.txt", "constraints.txt"])
def test_every_pin_is_exact_and_hashed_and_no_address_is_given(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    entries = re.split(r"\n(?=\S)", text.strip())
    shape = re.compile(r"[a-z0-9.-]+==[^\s;]+( ; [^\n]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+")
    assert [entry for entry in entries if not entry.startswith("#") and not shape.fullmatch(entry)] == []

"""Imports go one way, Prefect stays in the flows, and flow modules keep their annotations evaluated."""

import ast
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qpv_geo.releases.release import Release
from qpv_geo.settings import Settings

ROOT = Path(__file__).parents[1]

# Each room may import itself and what stands before it.
BASE = (
    "settings",
    "errors",
    "lock",
    "zones",
    "checks",
    "territory",
    "parallel",
    "files",
    "french",
    "frozen",
    "statuses",
    "templates",
    "characters",
    "toml_file",
    "typography",
)
ORDER = (
    "base",
    "sources",
    "ingest",
    "analysis",
    "formats",
    "audit",
    "qgis",
    "portraits",
    "releases",
    "locate",
    "pipeline",
    "api",
    "front",
)


def room_of(module: str) -> str | None:
    """Return the room of a dotted name, None for a module that is not the project's."""
    package, _, rest = module.partition(".")
    if package == "flows":
        return "front"
    if package != "qpv_geo":
        return None
    part = rest.partition(".")[0]
    if part in ORDER:
        return part
    if part in BASE or part in ("", "__version__"):
        return "base"
    # The command line, and whatever new module nobody has given its place yet.
    return "front"


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of everything a file imports, wherever in the file it does."""
    package = path.parent.relative_to(root).parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*above, *(node.module or "").split("."))).strip(".")
            # `from qpv_geo import releases` imports a room as surely as `import qpv_geo.releases`.
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def violations(root: Path) -> list[str]:
    """Return every import below `root` that goes the wrong way, as ``file:line: what``."""
    found = []
    for path in sorted([*root.glob("qpv_geo/**/*.py"), *root.glob("flows/**/*.py")]):
        module = module_name(path, root)
        # The package itself offers what is above all rooms, and imports it when it is asked for.
        room = "front" if module == "qpv_geo" else room_of(module)
        for line, target in imported(path, root):
            where = f"{path.relative_to(root).as_posix()}:{line}"
            other = room_of(target)
            if other and ORDER.index(other) > ORDER.index(room):
                found.append(f"{where}: {room} imports {target}")
            if target.partition(".")[0] == "prefect" and not where.startswith("flows/"):
                found.append(f"{where}: imports prefect")
            if target == "__future__.annotations" and where.startswith("flows/"):
                found.append(f"{where}: postpones annotations")
    return found


def test_the_project_keeps_to_the_one_way() -> None:
    assert violations(ROOT) == []


def test_every_room_is_looked_at() -> None:
    rooms = {room_of(module_name(path, ROOT)) for path in ROOT.glob("qpv_geo/**/*.py")}
    assert rooms >= set(ORDER) - {"front"}


@pytest.mark.parametrize(
    ("file", "code", "complaint"),
    [
        (
            "qpv_geo/sources/store.py",
            "from qpv_geo.ingest.tables import read",
            "sources imports qpv_geo.ingest",
        ),
        ("qpv_geo/ingest/tables.py", "from qpv_geo import releases", "ingest imports qpv_geo.releases"),
        (
            "qpv_geo/analysis/bands.py",
            "from ..formats import fields",
            "analysis imports qpv_geo.formats.fields",
        ),
        (
            "qpv_geo/zones.py",
            "def f():\n    import qpv_geo.sources.store",
            "base imports qpv_geo.sources.store",
        ),
        (
            "qpv_geo/releases/release.py",
            "from qpv_geo.locate.files import locate_file",
            "releases imports qpv_geo.locate.files.locate_file",
        ),
        ("qpv_geo/releases/release.py", "import flows.refresh", "releases imports flows.refresh"),
        ("qpv_geo/releases/release.py", "from qpv_geo.cli import main", "releases imports qpv_geo.cli.main"),
        ("qpv_geo/releases/release.py", "from prefect import task", "imports prefect"),
        ("qpv_geo/commands/refresh.py", "def f():\n    import prefect.settings", "imports prefect"),
        ("flows/refresh.py", "from __future__ import annotations", "postpones annotations"),
    ],
)
def test_a_wrong_way_is_reported(tmp_path: Path, file: str, code: str, complaint: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(code, encoding="utf-8")
    (problem,) = violations(tmp_path)
    assert problem.startswith(f"{file}:")
    assert complaint in problem


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (
            "qpv_geo/releases/release.py",
            "from qpv_geo.analysis.layers import join\nfrom qpv_geo.releases import ledger",
        ),
        ("qpv_geo/sources/store.py", "from .catalogue import Source\nfrom ..errors import QpvGeoError"),
        ("qpv_geo/analysis/overlay.py", "from qpv_geo import __version__\nimport geopandas"),
        ("qpv_geo/commands/refresh.py", "def f():\n    from flows.refresh import refresh"),
        ("flows/refresh.py", "from prefect import flow\nfrom qpv_geo.releases import release"),
    ],
)
def test_the_right_way_is_not(tmp_path: Path, file: str, code: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(code, encoding="utf-8")
    assert violations(tmp_path) == []


def test_outside_the_flows_nothing_loads_prefect() -> None:
    """A command or a worker that loads Prefect would cost its start, and might start a server."""
    modules = [module_name(path, ROOT) for path in sorted(ROOT.glob("qpv_geo/**/*.py"))]
    modules.remove("qpv_geo.__main__")
    code = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "sys.exit(sorted(m for m in sys.modules if m.partition('.')[0] in ('prefect', 'flows'))[:1] or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "unloaded"),
    [
        (["--help"], {"rich.progress", "numpy", "qpv_geo.commands.refresh"}),
        (["releases", "--help"], {"numpy", "qpv_geo.commands.releases"}),
        (["releases", "list"], {"pandas", "geopandas", "shapely", "httpx", "jinja2"}),
        (["territory", "list"], {"pandas", "geopandas", "shapely", "httpx"}),
        (["sources", "list"], {"pandas", "geopandas", "httpx"}),
        (["locate", "--help"], {"pandas", "geopandas", "shapely", "httpx"}),
        (["refresh", "--help"], {"pandas", "geopandas", "shapely", "httpx", "distributed", "prefect"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_loads_what_it_needs(tmp_path: Path, arguments: list[str], unloaded: set[str]) -> None:
    assert loaded_by(arguments, tmp_path) & unloaded == set()


def test_a_refresh_that_finds_nothing_new_loads_nothing_that_writes(
    offline: Release, settings: Settings
) -> None:
    loaded = loaded_by(["refresh", "--offline"], settings.data_dir)
    written = {
        "qpv_geo.pipeline.steps",
        "qpv_geo.analysis.layers",
        "httpx",
        "pandera",
        "jinja2",
        "distributed",
    }
    assert loaded & written == set()
    assert list(offline.path.parent.glob("20*")) == [offline.path]


def loaded_by(arguments: list[str], data: Path) -> set[str]:
    """Return the modules that a command has loaded when it ends."""
    code = (
        "import sys\n"
        "from qpv_geo.cli import app\n"
        f"app({arguments!r}, standalone_mode=False)\n"
        "print(*sys.modules, sep='\\n', file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"QPV_GEO_DATA": str(data)},
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines())


def test_benchmarks_import_what_exists() -> None:
    """They import where they measure: nothing else notices a name that is gone."""
    missing = []
    for path in sorted(ROOT.glob("benchmarks/*.py")):
        for line, target in imported(path, ROOT):
            module, _, name = target.rpartition(".")
            if room_of(target) and module:
                found = importlib.import_module(module)
                if not hasattr(found, name) and importlib.util.find_spec(target) is None:
                    missing.append(f"{path.name}:{line}: {target}")
    assert missing == []

"""The quick tier: every room of the project has tests in it."""

import ast
from pathlib import Path

from tests.conftest import SLOW

ROOT = Path(__file__).parents[1]
TESTS = {path.stem: path for path in (ROOT / "tests").glob("test_*.py")}


def rooms_of(path: Path) -> set[str]:
    """Return the rooms that a test file imports from."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {module.split(".")[1] for module in modules if module.startswith("qpv_geo.")} | {
        "flows" for module in modules if module.partition(".")[0] == "flows"
    }


def test_the_quick_tier_touches_every_room() -> None:
    rooms = {path.parent.name for path in (ROOT / "qpv_geo").glob("*/__init__.py")} - {"commands"} | {"flows"}
    assert len(rooms) >= 10
    assert rooms <= set().union(*(rooms_of(path) for stem, path in TESTS.items() if stem not in SLOW))


def test_what_is_left_out_is_there() -> None:
    assert TESTS.keys() >= SLOW

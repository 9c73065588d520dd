"""A public class name occurs once in the package: a reader who meets it knows which one is meant."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_a_public_class_name_occurs_once() -> None:
    places = defaultdict(list)
    for path in sorted([*ROOT.glob("qpv_geo/**/*.py"), *ROOT.glob("flows/**/*.py")]):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path.relative_to(ROOT).as_posix())
    assert "Territory" in places
    assert {name: found for name, found in places.items() if len(found) > 1} == {}

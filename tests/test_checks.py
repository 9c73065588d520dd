"""The list of checks: every check has its sentence, and every listed one is made somewhere."""

import ast
from pathlib import Path

import pytest

from qpv_geo.checks import CHECKS, Check

PACKAGE = Path(__file__).parents[1] / "qpv_geo"


def test_a_check_without_a_sentence_cannot_be_made() -> None:
    with pytest.raises(ValueError, match=r"'essai' is not listed in qpv_geo/checks\.toml: add its"):
        Check("essai", "qpv", "conforme", "", "", "")


def test_every_listed_check_is_made_somewhere() -> None:
    modules = PACKAGE.rglob("*.py")
    nodes = (node for path in modules for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant)}
    assert CHECKS.keys() - texts == set()


def test_what_is_controlled_is_a_french_sentence() -> None:
    for code, sentence in CHECKS.items():
        assert sentence[0].isupper(), code
        assert sentence.endswith("."), code

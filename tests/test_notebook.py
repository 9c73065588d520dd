"""The example notebook runs from top to bottom, and shows what it showed.

``QPV_GEO_NOTEBOOK=1 pytest tests/test_notebook.py`` writes what it shows now.
"""

import ast
import json
import os
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from qpv_geo.pipeline.one import Outcome

NOTEBOOK = Path(__file__).parents[1] / "docs" / "exemple.ipynb"


def run_cell(source: str, names: dict[str, Any]) -> list[dict[str, Any]]:
    """Run a cell, and return what Jupyter would show: what is printed, and the value of the last line."""
    body = ast.parse(source).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    value = None
    with redirect_stdout(StringIO()) as printed:
        exec(compile(ast.Module(body, []), NOTEBOOK.name, "exec"), names)  # noqa: S102 - our own notebook
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), NOTEBOOK.name, "eval"), names)  # noqa: S307
    shown: list[dict[str, Any]] = []
    if printed.getvalue():
        shown.append({"name": "stdout", "output_type": "stream", "text": printed.getvalue()})
    if value is not None:
        drawn = {"image/svg+xml": value._repr_svg_()} if hasattr(value, "_repr_svg_") else {}
        data = {**drawn, "text/plain": repr(value)}
        shown.append({"data": data, "execution_count": None, "metadata": {}, "output_type": "execute_result"})
    return shown


def test_the_example_runs_and_shows_what_it_showed(
    refreshed: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QPV_GEO_DATA", str(refreshed.release.path.parents[2]))
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    before = [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = run_cell(cell["source"], names)
    if os.environ.get("QPV_GEO_NOTEBOOK"):
        NOTEBOOK.write_text(json.dumps(notebook, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    else:
        assert [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"] == before
    assert len(before) > 5

"""The documents say what the declared data say."""

import re
import runpy
from pathlib import Path

import pytest

from qpv_geo.formats.fields import load_layers
from qpv_geo.ingest.registry import load_registry
from qpv_geo.sources.catalogue import Catalogue

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("data/raw/snapshot/*.md"))
)


def test_sources_page_is_what_the_catalogue_generates(catalogue: Catalogue) -> None:
    generate = runpy.run_path(str(DOCS / "generate.py"))
    assert (DOCS / "sources.md").read_text(encoding="utf-8") == generate["sources_page"](catalogue), (
        "the catalogue has changed: run `python docs/generate.py` and commit docs/sources.md"
    )


def test_dictionary_is_what_the_declarations_generate() -> None:
    generate = runpy.run_path(str(DOCS / "generate.py"))
    assert (DOCS / "dictionnaire.md").read_text(encoding="utf-8") == generate["dictionary_page"](
        load_registry()
    ), "fields or indicators have changed: run `python docs/generate.py` and commit docs/dictionnaire.md"


def test_the_health_page_has_the_tables_that_the_declarations_generate() -> None:
    generate = runpy.run_path(str(DOCS / "generate.py"))
    page = (DOCS / "sante.md").read_text(encoding="utf-8")
    assert page == generate["health_page"](page), (
        "lines, categories or parameters have changed: run `python docs/generate.py` and commit docs/sante.md"
    )
    assert page.count("<!-- fin -->") == 3
    assert "`taux_pauvrete_60`" in page


def test_guide_describes_every_published_layer_and_no_other() -> None:
    guide = (DOCS / "guide-sig.md").read_text(encoding="utf-8")
    described = re.findall(r"^### `([a-z0-9_]+)`", guide, flags=re.MULTILINE)
    assert described == list(load_layers())


def test_guide_explains_every_status_and_origin() -> None:
    guide = (DOCS / "guide-sig.md").read_text(encoding="utf-8")
    for word in (
        "ok",
        "secret",
        "non_disponible",
        "non_significatif",
        "non_calculable",
        "estimation",
        "live",
        "mirror",
        "store",
        "snapshot",
    ):
        assert f"| `{word}` |" in guide


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    path = ROOT / page
    text = path.read_text(encoding="utf-8")
    dead = [
        target
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
        if not target.startswith(("http:", "https:", "mailto:")) and not (path.parent / target).exists()
    ]
    assert dead == []


@pytest.mark.parametrize("page", PAGES)
def test_paths_of_the_project_that_pages_name_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"`((?:qpv_geo|flows|tests|docs|benchmarks|\.ci)/[\w./-]*)`", text)
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_snapshot_readme_lists_every_file() -> None:
    folder = ROOT / "data" / "raw" / "snapshot"
    listed = set(re.findall(r"^\| `([^`]+)` \|", (folder / "README.md").read_text("utf-8"), re.MULTILINE))
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    whole = {name for name in listed if name.endswith("/")}
    named = {next((name for name in whole if file.startswith(name)), file) for file in files}
    assert listed == named - {"README.md"}


def test_both_readmes_give_the_same_commands() -> None:
    blocks, commands = [], []
    for name in ("README.md", "README.fr.md"):
        text = re.sub(r" +# .*", "", (ROOT / name).read_text(encoding="utf-8"))
        blocks.append(re.findall(r"```bash\n(.*?)```", text, re.DOTALL))
        commands.append(re.findall(r"^\| `(qpv-geo [a-z]+)", text, re.MULTILINE))
    assert blocks[1] == [block for block in blocks[0] if "prefect" not in block]
    assert len(blocks[1]) == 3
    assert commands[1] == commands[0]


def test_the_architecture_names_files_that_exist() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:qpv_geo|flows|tests)/[\w/]+\.?\w*)", text))
    stations = set(re.findall(r"`((?:sources|ingest|analysis|formats|audit|releases)/\w+\.\w+)`", text))
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).exists()] == []
    assert [path for path in stations if not (ROOT / "qpv_geo" / path).exists()] == []

"""What comes from outside stays data: never code, never a formula, never an address that nobody declared.

Hosts and redirects are tried in `test_download`, archives in `test_archive`.
"""

import ast
import csv
import json
import logging
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import openpyxl
import pytest

from qpv_geo.commands.output import console, start_log, table
from qpv_geo.errors import ConfigurationError, SourceUnavailableError
from qpv_geo.pipeline.job import Job
from qpv_geo.pipeline.one import run
from qpv_geo.releases.formats import chosen_formats
from qpv_geo.settings import Settings
from qpv_geo.sources import http_client
from qpv_geo.sources.catalogue import Catalogue
from qpv_geo.sources.download import Downloader
from qpv_geo.sources.fetch import Policy, fetch
from qpv_geo.territory import Territory
from tests.command_line import qpv_geo_here as qpv_geo
from tests.country import ARCHIVE, country, zipped
from tests.faults import tls
from tests.faults.world import open_sites, quick, territory

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for folder in ("qpv_geo", "flows") for path in (ROOT / folder).rglob("*.py"))

# ---------------------------------------------------------------- the code

FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "pandas.read_pickle",
    "pd.read_pickle",
    "yaml.load",
    "yaml.unsafe_load",
    "ssl._create_unverified_context",
}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "shelve", "marshal", "cloudpickle", "joblib", "commands"}
# Their parsers expand entities; what only writes or names types may be imported from them.
XML_PARSERS = {
    "parse",
    "fromstring",
    "iterparse",
    "XML",
    "XMLParser",
    "parseString",
    "XMLPullParser",
    "make_parser",
}


def dangers(code: str) -> list[str]:
    """Return what a module does that none of the project's may do."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found += _imports(node)
        elif isinstance(node, ast.Call):
            found += _call(node)
        elif isinstance(node, ast.Attribute) and node.attr in {"CERT_NONE", "CERT_OPTIONAL"}:
            found.append(node.attr)
        elif isinstance(node, ast.Assign):
            names = {target.attr for target in node.targets if isinstance(target, ast.Attribute)}
            found += sorted(names & {"check_hostname", "verify_mode"})
    return found


def _imports(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    names = {alias.name for alias in node.names}
    modules = names if isinstance(node, ast.Import) else {node.module or ""}
    yield from sorted(module for module in modules if module.split(".")[0] in FORBIDDEN_MODULES)
    for module in modules:
        if module.split(".")[0] in {"xml", "lxml"} and isinstance(node, ast.ImportFrom):
            yield from sorted(names & XML_PARSERS)


def _call(node: ast.Call) -> Iterator[str]:
    name = ast.unparse(node.func)
    if name in FORBIDDEN_CALLS:
        yield name
    if (
        re.fullmatch(r"(ET|etree|xml\.etree\.ElementTree|minidom)\.\w+", name)
        and name.split(".")[-1] in XML_PARSERS
    ):
        yield name
    for keyword in node.keywords:
        value = ast.unparse(keyword.value)
        if (keyword.arg, value) in {("shell", "True"), ("verify", "False"), ("autoescape", "False")}:
            yield f"{keyword.arg}={value}"
        if keyword.arg == "allow_pickle" and value != "False":
            yield "allow_pickle"
    if name.endswith("Environment") and not any(keyword.arg == "autoescape" for keyword in node.keywords):
        yield f"{name} without autoescape"


@pytest.mark.parametrize(
    ("code", "danger"),
    [
        ("import pickle", "pickle"),
        ("from marshal import loads", "marshal"),
        ("eval(text)", "eval"),
        ("os.system('ls')", "os.system"),
        ("subprocess.run('ls', shell=True)", "shell=True"),
        ("httpx.get(url, verify=False)", "verify=False"),
        ("context.check_hostname = False", "check_hostname"),
        ("context.verify_mode = ssl.CERT_NONE", "CERT_NONE"),
        ("from xml.etree.ElementTree import fromstring", "fromstring"),
        ("ET.parse(path)", "ET.parse"),
        ("jinja2.Environment(loader=x)", "jinja2.Environment without autoescape"),
        ("numpy.load(path, allow_pickle=True)", "allow_pickle"),
    ],
)
def test_the_check_of_the_code_can_fail(code: str, danger: str) -> None:
    assert danger in dangers(code)


@pytest.mark.parametrize("path", SOURCES, ids=[path.relative_to(ROOT).as_posix() for path in SOURCES])
def test_no_module_runs_what_it_reads_or_trusts_just_anybody(path: Path) -> None:
    assert dangers(path.read_text(encoding="utf-8")) == []


def test_templates_mark_nothing_as_safe() -> None:
    """What is put into a page unescaped is our own script and style, which no publisher writes."""
    templates = sorted(path for path in (ROOT / "qpv_geo").rglob("templates/*") if path.is_file())
    assert len(templates) >= 4
    texts = "".join(path.read_text(encoding="utf-8") for path in templates)
    ours = {"leaflet_css", "leaflet_js", "attributes", "style"}
    assert set(re.findall(r"\{\{\s*(\w+)\s*\|\s*safe", texts)) == ours
    assert texts.count("safe }}") == texts.count("| safe") == len(ours)
    assert "autoescape" not in texts


# ---------------------------------------------------------------- TLS


def fetched(catalogue: Catalogue, settings: Settings, url: str) -> bytes:
    """Download a file as the pipeline does, from a server that is declared."""
    origin = http_client.origin_of(url)
    body = BytesIO()
    with Downloader(catalogue["insee_population"], settings, frozenset({origin})) as downloader:
        downloader.get(url, body, 1000)
    return body.getvalue()


@pytest.fixture
def trust(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Let a test say which certificates this machine trusts."""
    http_client._tls.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    http_client._tls.cache_clear()


def test_a_certificate_that_this_machine_trusts_is_accepted(
    catalogue: Catalogue, settings: Settings, tmp_path: Path, trust: pytest.MonkeyPatch
) -> None:
    certificate = tls.certificate(tmp_path, "127.0.0.1")
    trust.setenv("SSL_CERT_FILE", str(certificate.path))
    with tls.server(certificate) as server:
        assert fetched(catalogue, settings, f"{server.url}/x.csv") == b"codeQPV;popMuniQPV\n"


@pytest.mark.parametrize(
    ("name", "expired", "trusted", "words"),
    [
        ("127.0.0.1", False, False, "self-signed certificate"),
        ("www.insee.fr", False, True, "mismatch"),
        ("127.0.0.1", True, True, "expired"),
    ],
    ids=["unknown", "of another host", "expired"],
)
def test_any_other_certificate_is_refused_before_anything_is_asked(
    name: str,
    expired: bool,  # noqa: FBT001 - a parameter of the test
    trusted: bool,  # noqa: FBT001 - a parameter of the test
    words: str,
    catalogue: Catalogue,
    settings: Settings,
    tmp_path: Path,
    trust: pytest.MonkeyPatch,
) -> None:
    certificate = tls.certificate(tmp_path, name, expired=expired)
    if trusted:
        trust.setenv("SSL_CERT_FILE", str(certificate.path))
    with tls.server(certificate) as server:
        with pytest.raises(SourceUnavailableError, match=f"CERTIFICATE_VERIFY_FAILED.*{words}"):
            fetched(catalogue, settings, f"{server.url}/x.csv")
        assert server.asked == []


# ---------------------------------------------------------------- secrets


def test_the_password_of_a_proxy_is_in_no_log_and_no_message(
    catalogue: Catalogue,
    besancon: Territory,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    """Nobody listens at the proxy: the real addresses are never reached."""
    monkeypatch.setenv("HTTPS_PROXY", "http://agent:m0tdepasse@127.0.0.1:9")
    monkeypatch.delenv("QPV_GEO_OFFICIAL_SITES")
    elsewhere = Settings(data_dir=tmp_path / "data", backoff=0.001, attempts=2)
    assert elsewhere.official_sites is None
    with caplog.at_level(logging.DEBUG):
        raw = fetch(catalogue["insee_population"], besancon, elsewhere, Policy())
        with pytest.raises(SourceUnavailableError) as caught:
            fetch(catalogue["insee_population"], besancon, elsewhere, Policy(require_live=True))
    assert raw
    assert raw.origin == "snapshot"
    everything = [caplog.text, str(caught.value), repr(caught.value.__cause__), raw.reason]
    kept = [path.read_text(errors="replace") for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert "insee_population" in caplog.text
    assert not [text for text in (*everything, *kept) if "m0tdepasse" in text]


def test_the_password_in_a_mirror_s_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigurationError, match="without credentials") as caught:
        Policy(mirror="https://agent:m0tdepasse@miroir.example.org/qpv")
    assert "m0tdepasse" not in str(caught.value)


# ---------------------------------------------------------------- what a terminal obeys

ESCAPE = "\x1b]0;prise\x07\x9b31m\u202e"


def test_an_error_names_a_file_without_its_escape_sequences() -> None:
    done = qpv_geo("refresh", "--territory", f"{ESCAPE}.toml")
    assert done.returncode == 2
    assert "\\x1b]0;prise\\x07\\x9b31m\\u202e.toml" in done.stderr
    assert not set(done.stderr) & set("\x1b\x07\x9b\u202e")


def test_a_log_line_and_a_table_do_not_repeat_them_either(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = logging.getLogger("qpv_geo")
    monkeypatch.setattr(log, "handlers", [])
    start_log(prefect=False)
    log.warning("member %s of an archive\non two lines", ESCAPE)
    console().print(table("Sources", [{"fichier": ESCAPE}], {"file": "fichier"}))
    written = "".join(capsys.readouterr())
    assert written.count("\\x1b]0;prise\\x07") == 2
    assert "archive\non two lines" in written
    assert not set(written) & set("\x1b\x07\x9b\u202e")


# ---------------------------------------------------------------- what publishers write

SCRIPT = "<script>alert(1)</script>"
BREAKOUT = "</script><img src=x onerror=alert(2)>"
QUOTES = '" onmouseover="alert(3)" x=\''
FORMULAS = ('=HYPERLINK("http://example.org")', "+1+1", "-2+3", "@SUM(1)")


class Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.scripts: list[str] = []
        self.data_scripts: list[str] = []
        self.handlers: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self._inside: list[str] | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag == "script":
            kind = dict(attrs).get("type")
            self._inside = self.data_scripts if kind == "application/json" else self.scripts

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside is None:
            self.text += data
        else:
            self._inside.append(data)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a release whose names are the official ones."""
    with open_sites() as sites:
        return run(Job(territory(), quick(tmp_path_factory.mktemp("plain"), sites))).release.path


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a release of which a publisher gave the QPV the names of attacks."""
    collection = country()
    names = (SCRIPT, BREAKOUT, QUOTES, *FORMULAS)
    for feature, name in zip(collection["features"][:6], names, strict=False):
        feature["properties"]["lib_qp"] = name
    collection["features"][5]["properties"]["lib_com"] = FORMULAS[3]
    with open_sites() as sites:
        sites.publish("qpv_2024", zipped(collection), ARCHIVE)
        job = Job(
            territory(), quick(tmp_path_factory.mktemp("hostile"), sites), formats=chosen_formats(["xlsx"])
        )
        return run(job).release.path


def pages(release: Path) -> dict[str, Page]:
    found = {
        path.relative_to(release).as_posix(): Page(path.read_text(encoding="utf-8"))
        for path in sorted(release.rglob("*.html"))
    }
    assert {"rapport.html", "portraits/index.html", "portraits/QN02502M.html"} <= found.keys()
    return found


def test_a_name_stays_text_in_every_page(plain: Path, hostile: Path) -> None:
    usual, attacked = pages(plain), pages(hostile)
    assert usual.keys() == attacked.keys()
    for name, page in attacked.items():
        assert page.scripts == usual[name].scripts, name
        assert page.handlers == usual[name].handlers, name
        assert page.tags.count("img") == usual[name].tags.count("img"), name
        assert page.tags.count("script") == usual[name].tags.count("script"), name
        for data in page.data_scripts:
            json.loads(data)
    assert SCRIPT in attacked["portraits/QN02502M.html"].text
    assert SCRIPT in attacked["portraits/index.html"].text
    assert BREAKOUT in attacked["portraits/QN02503M.html"].text
    for data in attacked["portraits/index.html"].data_scripts:
        assert BREAKOUT in str(json.loads(data))


def test_the_script_of_the_index_writes_names_as_text() -> None:
    script = (ROOT / "qpv_geo" / "portraits" / "templates" / "index.js").read_text("utf-8")
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in script


def test_names_are_the_publisher_s_in_the_geopackage(hostile: Path) -> None:
    collection = json.loads((hostile / "geojson" / "qpv.geojson").read_text(encoding="utf-8"))
    assert SCRIPT in {feature["properties"]["lib_qp"] for feature in collection["features"]}


def test_no_cell_of_a_csv_file_is_a_formula(hostile: Path) -> None:
    cells = set()
    for path in sorted((hostile / "csv").glob("*.csv")):
        with path.open(encoding="utf-8-sig", newline="") as stream:
            cells |= {cell for row in csv.reader(stream, delimiter=";") for cell in row}
    begin = {cell for cell in cells if re.match(r"[=+\-@\t\r\n]", cell)}
    assert not [cell for cell in begin if not re.fullmatch(r"-?\d+(,\d+)?", cell)]
    assert {f"'{formula}" for formula in FORMULAS[:3]} <= cells


def test_no_cell_of_a_workbook_is_a_formula(hostile: Path) -> None:
    (path,) = hostile.rglob("*.xlsx")
    book = openpyxl.load_workbook(path)
    cells = [cell for sheet in book.worksheets for row in sheet.iter_rows() for cell in row]
    assert not [cell for cell in cells if cell.data_type == "f"]
    texts = {str(cell.value) for cell in cells if cell.data_type == "s"}
    # A cell that is edited stays text only if it says so itself.
    plain = {str(cell.value) for cell in cells if cell.data_type == "s" and not cell.quotePrefix}
    assert not [text for text in plain if re.match(r"[=+\-@\t\r\n]", text)]
    assert set(FORMULAS[:3]) <= texts

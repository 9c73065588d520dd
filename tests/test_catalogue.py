import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import ValidationError

from qpv_geo.errors import ConfigurationError
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import (
    Catalogue,
    DataGouvAddress,
    InseePageAddress,
    NoAddress,
    Source,
    load_catalogue,
)
from qpv_geo.sources.content import check_content
from qpv_geo.sources.raw import RawFile, digest
from qpv_geo.sources.resolve import known_url, lookup_url, mirror_paths
from qpv_geo.territory import Territory

SHIPPED = load_catalogue().sources
ENTRY = """
[{name}]
theme = "Contours"
title = "Quartiers"
publisher = "ANCT"
page = "https://www.data.gouv.fr/datasets/x"
address = {{ kind = "plain", url = "https://www.data.gouv.fr/x.csv" }}
hosts = ["www.data.gouv.fr"]
format = "csv"
vintage = "2024"
published = 2026-01-15
{more}
"""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return tmp_path / "catalogue.toml"


def first_url(source: Source, territory: Territory) -> str:
    return lookup_url(source) or known_url(source, territory)


# A territory's own file is on no site.
ON_SITES = [source for source in SHIPPED if source.hosts]


@pytest.mark.parametrize("source", ON_SITES, ids=lambda source: source.id)
def test_a_source_is_asked_over_https_at_a_host_that_it_declares(source: Source, besancon: Territory) -> None:
    parts = urlsplit(first_url(source, besancon))
    assert parts.scheme == "https"
    assert parts.netloc in source.hosts
    assert urlsplit(source.page).scheme == "https"


@pytest.mark.parametrize("source", SHIPPED, ids=lambda source: source.id)
def test_a_source_can_be_cited(source: Source) -> None:
    assert source.licence
    assert source.licence_url.startswith("https://")
    assert source.publisher in source.attribution
    assert source.title in source.attribution


def test_no_address_is_made_up(catalogue: Catalogue) -> None:
    for source_id in ("insee_demographie_2020", "filosofi_communes"):
        source = catalogue[source_id]
        assert isinstance(source.address, NoAddress)
        assert source.seen
        assert lookup_url(source) is None
    assert catalogue["insee_demographie_2020"].family == "insee_demographie"


def test_pages_and_addresses_of_insee_agree() -> None:
    linked = [source for source in SHIPPED if isinstance(source.address, InseePageAddress)]
    assert linked
    for source in linked:
        assert isinstance(source.address, InseePageAddress)
        assert source.page == f"https://www.insee.fr/fr/statistiques/{source.address.page}"


def test_declared_mirror_files_match_the_patterns_that_find_them_on_the_sites(besancon: Territory) -> None:
    for source in SHIPPED:
        if isinstance(source.address, InseePageAddress | DataGouvAddress) and source.address.pattern:
            name = mirror_paths(source, besancon)[0].rpartition("/")[2]
            assert re.fullmatch(source.address.pattern, name), source.id


def test_what_a_release_needs_is_required_and_shipped(
    catalogue: Catalogue, besancon: Territory, snapshot: Path
) -> None:
    required = {source.id for source in catalogue.used() if source.required}
    assert required == {"qpv_2024", "insee_population", "insee_filosofi"}
    for source_id in required:
        paths = mirror_paths(catalogue[source_id], besancon)
        assert any((snapshot / path).exists() for path in paths), source_id


def test_every_file_of_the_mirror_is_as_declared(
    mirror: Path, besancon: Territory, settings: Settings
) -> None:
    checked = set()
    for source in SHIPPED:
        for path in mirror_paths(source, besancon):
            if (mirror / path).exists():
                sha256, size = digest(mirror / path)
                raw = RawFile(source, mirror / path, sha256, size, "mirror", "mirror")
                check_content(raw, settings)
                checked.add(path)
    there = {path.relative_to(mirror).as_posix() for path in mirror.rglob("*") if path.is_file()}
    # The old workbook is refused in clear words.
    assert checked == there - {"README.md", "insee/2015/demographie_2010_qpv.xls"}


def test_an_unknown_source_is_refused_with_the_known_ones(catalogue: Catalogue) -> None:
    with pytest.raises(ConfigurationError, match=r"unknown source 'qpv_2042'.*qpv_2024"):
        catalogue["qpv_2042"]


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ("colour = 'red'", r"colour"),
        ("member = '(['", r"member\s+.*not a regular expression"),
        ("seen = 2026-11-29", r"'seen' says when a genuine file was seen, 'seen_as' which"),
        ("seen_as = 'a file'", r"'seen' says when a genuine file was seen, 'seen_as' which"),
        ("edition_of = 'autre'", r"'edition_of' names no source: liste"),
        ("max_bytes = 0", r"max_bytes"),
        ("geography = 'hier'", r"geography"),
        ("licence = 3", r"licence"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_field(written: Path, more: str, complaint: str) -> None:
    written.write_text(ENTRY.format(name="liste", more=more), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        load_catalogue(written)
    assert str(written) in str(caught.value)


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ('{ kind = "ftp", url = "ftp://x" }', "ftp"),
        ('{ kind = "data_gouv", dataset = "x" }', "give either 'resource' or 'pattern'"),
        ('{ kind = "data_gouv", dataset = "x", resource = "y", pattern = "z" }', "give either"),
        ('{ kind = "data_gouv", dataset = "x", pattern = "([" }', "not a regular expression"),
        ('{ kind = "insee_page", page = "82106", pattern = "z" }', "page"),
        ('{ kind = "insee_page", page = "8210600", pattern = "([" }', "not a regular expression"),
        ('{ kind = "none" }', "'hosts' of a source without address"),
    ],
)
def test_a_wrong_address_is_refused(written: Path, address: str, complaint: str) -> None:
    entry = ENTRY.format(name="liste", more="")
    plain = re.search(r"\{ kind.*\}", entry)
    assert plain
    written.write_text(entry.replace(plain[0], address), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=re.escape(complaint)):
        load_catalogue(written)


@pytest.mark.parametrize("name", ["QPV", "1qpv", "x", "qpv-2024"])
def test_a_wrong_id_is_refused(written: Path, name: str) -> None:
    written.write_text(ENTRY.format(name=name, more=""), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="String should match pattern"):
        load_catalogue(written)


def test_a_file_that_is_no_toml_is_refused(written: Path) -> None:
    written.write_text("<html>", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="not valid"):
        load_catalogue(written)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_catalogue(written.with_name("absent.toml"))


def test_an_id_is_declared_once(catalogue: Catalogue) -> None:
    source = catalogue["qpv_2024"]
    with pytest.raises(ValidationError, match="source declared twice: qpv_2024"):
        Catalogue(sources=(source, source))

"""Provenance in plain French: the sentence, the sources, the controls."""

from datetime import UTC, date, datetime

import pytest

from qpv_geo.checks import Check
from qpv_geo.errors import PublicationError
from qpv_geo.formats.provenance import (
    attribution,
    checks_table,
    is_generalised,
    newest_date,
    origin_sentence,
    sources_table,
    titles_by_origin,
)
from qpv_geo.sources.raw import RawFile
from tests.publishing import CATALOGUE, FILES, SNAPSHOT, raw_file, snapshot_raws

CHECKS = (
    Check("qpv_du_territoire", "besancon", "conforme", "6", "6", "6 QPV, comme attendu."),
    Check("communes_du_cog", "besancon", "non_verifiable", "", "", "Code officiel géographique non lu."),
)

LIVE = {"origin": "live", "provenance": "live", "reason": ""}
MODIFIED = datetime(2026, 2, 1, 8, 0, tzinfo=UTC)


def raw(source: str, **changes: object) -> RawFile:
    return raw_file(source, SNAPSHOT / FILES[source], **changes)


def test_the_snapshot_says_what_it_is_and_that_its_communes_are_generalised() -> None:
    assert origin_sentence(snapshot_raws()) == (
        "Données fournies avec le programme, du 15 janvier 2026, contours de communes généralisés."
    )


@pytest.mark.parametrize(
    ("source", "origin", "file", "expected"),
    [
        ("communes_epci", "snapshot", "communes.geojson", True),
        ("communes_epci", "live", "communes.geojson", False),
        ("communes_france", "mirror", "communes-1000m.geojson.gz", True),
        ("communes_france", "live", "communes-100m.geojson.gz", False),
        ("qpv_2024", "snapshot", "qpv-2024.geojson", False),
    ],
)
def test_the_snapshot_and_the_edition_of_a_kilometre_are_generalised(
    source: str, origin: str, file: str, *, expected: bool
) -> None:
    assert is_generalised(source, origin, file) is expected


@pytest.mark.parametrize(
    ("origin", "beginning"),
    [
        ("live", "Données lues sur les sites officiels, du 1er février 2026."),
        ("mirror", "Données lues dans un miroir des sites officiels, du 1er février 2026."),
        ("store", "Données de la dernière copie gardée, sans lecture des sites officiels, du 1er février"),
    ],
)
def test_one_origin_is_said_in_one_sentence(origin: str, beginning: str) -> None:
    raws = {source: raw(source, origin=origin, provenance="live", last_modified=MODIFIED) for source in FILES}
    assert origin_sentence(raws).startswith(beginning)


def test_mixed_origins_are_said_in_one_sentence_and_name_their_sources() -> None:
    raws = {
        "qpv_2024": raw("qpv_2024", **LIVE, last_modified=MODIFIED),
        "insee_population": raw("insee_population"),
        "communes_epci": raw("communes_epci"),
        "cog_epci": None,
    }
    assert origin_sentence(raws) == (
        "Données de plusieurs origines : sites officiels, du 1er février 2026 ; extraits fournis avec le "
        "programme, du 1er janvier 2026, contours de communes généralisés."
    )
    assert list(titles_by_origin(raws).values()) == [
        ["Quartiers prioritaires de la politique de la ville (QPV 2024)"],
        ["Population municipale des QPV (recensement 2020)", "Contours des communes de l'EPCI"],
    ]


def test_the_newest_date_is_the_servers_where_there_is_one() -> None:
    raws = snapshot_raws()
    assert newest_date(raws) == date(2026, 1, 15)
    assert newest_date(raws | {"insee_population": raw("insee_population", last_modified=MODIFIED)}) == date(
        2026, 2, 1
    )


def test_nothing_is_published_from_nothing() -> None:
    with pytest.raises(PublicationError, match="no source was read"):
        newest_date({"qpv_2024": None})


def test_the_mention_has_who_what_and_the_last_update() -> None:
    assert attribution(raw("insee_population")) == (
        "INSEE, Population municipale des QPV (recensement 2020), mise à jour du 1er août 2024"
    )


def test_every_used_source_is_listed_with_its_state() -> None:
    raws = snapshot_raws()
    table = sources_table(raws, CATALOGUE).set_index("source")
    assert list(table.index) == [
        source.id for source in CATALOGUE.sources if source.used or source.id in raws
    ]
    assert table.loc["qpv_2024", "etat"] == "lue"
    assert table.loc["qpv_2024", "sha256"] == raws["qpv_2024"].sha256  # type: ignore[union-attr]
    assert table.loc["qpv_2024", "motif"] == "site injoignable : délai dépassé"
    assert table.loc["cog_epci", "etat"] == "absente"
    assert "ni sur le site officiel" in table.loc["cog_epci", "motif"]
    del raws["cog_epci"]
    assert sources_table(raws, CATALOGUE).set_index("source").loc["cog_epci", "etat"] == "sans objet"


def test_a_check_says_why_a_source_is_absent() -> None:
    absent = Check("source_absente", "cog_epci", "avertissement", "", "", "Site en maintenance.")
    table = sources_table(snapshot_raws(), CATALOGUE, [absent]).set_index("source")
    assert table.loc["cog_epci", "motif"] == "Site en maintenance."


def test_controls_keep_their_order_and_are_said_once() -> None:
    table = checks_table([*CHECKS, CHECKS[0]])
    assert table["controle"].tolist() == ["qpv_du_territoire", "communes_du_cog"]
    assert table["resultat"].tolist() == ["conforme", "non_verifiable"]
    assert checks_table([]).empty

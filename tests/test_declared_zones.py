"""Declared communes and EPCI: the tables that declare them, and the overlay that they are compared with."""

from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
from shapely import box

from qpv_geo.analysis.concordances import Concordance
from qpv_geo.analysis.declared_zones import compare_zones
from qpv_geo.analysis.parts import join_parts
from qpv_geo.analysis.selection import cut_by_communes
from qpv_geo.errors import ContractError
from qpv_geo.ingest.cog import read_epci_members
from qpv_geo.ingest.communes import read_territory_communes
from qpv_geo.ingest.contours import read_contours
from qpv_geo.ingest.correspondence import read_declared_zones
from qpv_geo.ingest.registry import load_registry
from qpv_geo.ingest.tables import Tables
from qpv_geo.settings import Settings
from qpv_geo.territory import Territory, load_territory
from tests.raw_files import raw_file, shipped, write_csv

# The tables

LISTEQP = [
    "code_qp", "lib_qp", "insee_reg", "lib_reg", "insee_dep", "lib_dep", "insee_com", "lib_com", "siren_epci",
    "lib_epci",
]  # fmt: skip


def excel(text: str) -> str:
    """Write a code as ANCT writes it, so that Excel takes it for a text."""
    return '"=""' + text + '""' + '"'


def listeqp(path: Path, *rows: tuple[str, str, str]) -> Path:
    lines = [
        [code, "Ici", "27", "", "25", "", communes, "", epci, "", "", ""] for code, communes, epci in rows
    ]
    return write_csv(path, [[*LISTEQP, "", ""], *lines])


def read(source: str, path: Path, settings: Settings) -> tuple[dict[str, tuple[object, ...]], str]:
    declared, (check,) = read_declared_zones(raw_file(source, path), settings)
    assert set(declared["source"]) <= {source}
    assert (check.code, check.subject) == ("zones_declarees", source)
    rows = declared[["insee_com", "siren_epci"]].itertuples(index=False, name=None)
    return dict(zip(declared["code_qp"], rows, strict=True)), check.message


def test_codes_written_for_excel_are_unwrapped(tmp_path: Path, settings: Settings) -> None:
    path = listeqp(
        tmp_path / "listeqp2024-cog2024.csv",
        ("QN01302M", excel("13055;13070"), excel("200054807")),
        ("QN00203M", '"02571; 02691"', "200071892"),
        # A spreadsheet has lost the zero.
        ("QN00101M", "1053", "200071751"),
        ("QN97651C", excel("97601"), ""),
    )
    found, message = read("listeqp_2024", path, settings)
    assert found == {
        "QN01302M": ("13055, 13070", "200054807"),
        "QN00203M": ("02571, 02691", "200071892"),
        "QN00101M": ("01053", "200071751"),
        "QN97651C": ("97601", None),
    }
    assert message == "Communes et EPCI déclarés lus pour 4 QPV."


def test_the_population_table_declares_them_as_well(mirror: Path, settings: Settings) -> None:
    found, _ = read("insee_population", mirror / "insee" / "pop_QPV24.csv", settings)
    assert len(found) == 1518
    assert found["QN02503M"] == ("25056", "242500361")
    assert found["QN05902M"] == ("59028, 59509", "200044618")
    assert found["QN09336I"] == ("93059", "200057867")


def test_what_is_no_code_is_said_and_left_out(tmp_path: Path, settings: Settings) -> None:
    path = listeqp(
        tmp_path / "liste.csv", ("QN02503M", "Besançon", "242500361"), ("QN02504M", "25056", "2425")
    )
    found, message = read("listeqp_2025", path, settings)
    assert found == {"QN02503M": (None, "242500361"), "QN02504M": ("25056", None)}
    assert "olonne insee_com : 1 cellules sans code valable, la première 'Besançon' (line 2)" in message
    assert "olonne siren_epci : 1 cellules" in message


def test_a_population_table_without_such_columns_is_one_all_the_same(
    tmp_path: Path, settings: Settings
) -> None:
    path = write_csv(tmp_path / "pop.csv", [["codeQPV", "popMuniQPV"], ["QN02503M", "15603"]])
    found, message = read("insee_population", path, settings)
    assert found == {"QN02503M": (None, None)}
    assert message == "Colonne listeDepcom absente ; colonne listeEPCI2022 absente."


def test_what_is_no_table_is_refused(tmp_path: Path, settings: Settings) -> None:
    path = write_csv(tmp_path / "liste.csv", [["code_qp,insee_com"], ["QN02503M,25056"]])
    with pytest.raises(ContractError, match="columns separated by ';'"):
        read("listeqp_2025", path, settings)


# Against the overlay: a row of communes, 3 km wide, of two EPCI

EPCI, OTHER_EPCI = "242500361", "200099999"
COMMUNES = gpd.GeoDataFrame(
    {
        "insee_com": ["25001", "25002", "25003"],
        "nom_com": ["Ouest", "Milieu", "Est"],
        "siren_epci": [EPCI, EPCI, OTHER_EPCI],
    },
    geometry=[box(x, 0, x + 3000, 3000) for x in (0, 3000, 6000)],
    crs=2154,
)
MEMBERS = pd.DataFrame(
    {
        "insee_com": ["25001", "25002", "25003", "25004"],
        "siren_epci": [EPCI, EPCI, OTHER_EPCI, "200088888"],
    }
)
CODE = "QN02501M"


def compare(
    besancon: Territory,
    *,
    communes: str | None,
    epci: str | None = None,
    west: float = 1000,
    width: float = 500,
    members: pd.DataFrame | None = MEMBERS,
    code: str = CODE,
) -> dict[str, Concordance]:
    """Compare what is declared of one QPV, 500 m wide unless told otherwise, with where it lies."""
    qpv = gpd.GeoDataFrame(
        {"code_qp": [code], "lib_qp": ["Ici"], "insee_com": [communes], "siren_epci": [epci]},
        geometry=[box(west, 1000, west + width, 2000)],
        crs=2154,
    )
    pieces = cut_by_communes(qpv, COMMUNES, besancon)
    rows = compare_zones(qpv, pieces, COMMUNES, declared=None, members=members, territory=besancon)
    return {row.theme: row for row in rows}


def test_a_declaration_that_is_right(besancon: Territory) -> None:
    rows = compare(besancon, communes="25001", epci=EPCI)
    assert {theme: row.result for theme, row in rows.items()} == {"Communes": "concorde", "EPCI": "concorde"}
    assert rows["Communes"].second.value == "25001 Ouest (100,0 %)"
    assert rows["EPCI"].first.producer == "ANCT"


@pytest.mark.parametrize(
    ("declared", "place", "reason"),
    [
        # Another commune, 4.5 km away.
        (
            "25003",
            (1000, 500),
            "25003 Est, déclaré, est à 4,5 km du QPV ; le QPV est pour 100,0 % dans 25001 Ouest, non déclaré",
        ),
        # A second commune that it does not touch.
        ("25001, 25003", (1000, 500), "25003 Est, déclaré, est à 4,5 km du QPV"),
        # 300 m of 750 in a commune that is not declared.
        ("25001", (2550, 750), "le QPV est pour 40,0 % dans 25002 Milieu, non déclaré"),
        # No commune has this code (any more).
        ("25001, 25999", (1000, 500), "25999, déclaré, n'a ni contour ni place au code officiel"),
        ("25999", (1000, 500), "25999, déclaré, n'a ni contour ni place au code officiel"),
    ],
)
def test_a_planted_error_in_the_communes_is_found(
    besancon: Territory, declared: str, place: tuple[float, float], reason: str
) -> None:
    row = compare(besancon, communes=declared, west=place[0], width=place[1])["Communes"]
    assert row.result == "diverge"
    assert reason in row.message


def test_the_precision_of_the_contours_is_no_disagreement(besancon: Territory) -> None:
    # 200 m of 500 beyond the limit, and 200 m short of it: generalised contours do as much.
    assert compare(besancon, communes="25001", west=2700)["Communes"].result == "concorde"
    assert compare(besancon, communes="25001, 25002", west=2300)["Communes"].result == "concorde"
    assert compare(besancon, communes="25001", west=2800, width=500)["Communes"].result == "diverge"


@pytest.mark.parametrize(
    ("declared", "result"),
    [
        (EPCI, "concorde"),
        (OTHER_EPCI, "diverge"),
        ("123456789", "diverge"),
        # What is declared beyond the territory has no contour here, and is another release's.
        (f"{EPCI}, 200088888", "concorde"),
    ],
)
def test_a_planted_error_in_the_epci_is_found(besancon: Territory, declared: str, result: str) -> None:
    assert compare(besancon, communes="25001", epci=declared)["EPCI"].result == result


def test_nothing_declared_is_not_compared(besancon: Territory) -> None:
    assert not compare(besancon, communes=None)


def test_where_there_is_no_contour_of_a_commune_nothing_is_said(besancon: Territory) -> None:
    row = compare(besancon, communes="98735", west=90_000, code="QN98701M")["Communes"]
    assert (row.result, row.second.value) == ("non_verifiable", "ailleurs (100,0 %)")


def test_without_the_official_list_an_unknown_code_may_be_anywhere(besancon: Territory) -> None:
    row = compare(besancon, communes="25999", members=None, west=90_000)["Communes"]
    assert row.result == "non_verifiable"


def test_a_part_of_the_metropolis_stands_for_it(besancon: Territory) -> None:
    metropolis = COMMUNES.assign(siren_epci="200054781")
    qpv = gpd.GeoDataFrame(
        {"code_qp": ["QN09338M"], "lib_qp": ["Ici"], "insee_com": ["25001"], "siren_epci": ["200057867"]},
        geometry=[box(1000, 1000, 1500, 2000)],
        crs=2154,
    )
    pieces = cut_by_communes(qpv, metropolis, besancon)
    declared = pd.DataFrame(
        {
            "source": "insee_population",
            "code_qp": ["QN09338M", "QN09399M"],
            "insee_com": "25001",
            "siren_epci": "217500016",
        }
    )
    rows = compare_zones(qpv, pieces, metropolis, declared=declared, members=None, territory=besancon)
    # One row for each source and matter, and none for a QPV that is not the territory's.
    assert [(row.theme, row.first.source, row.first.producer, row.result) for row in rows] == [
        ("Communes", "qpv_2024", "ANCT", "concorde"),
        ("Communes", "insee_population", "INSEE", "concorde"),
        ("EPCI", "qpv_2024", "ANCT", "concorde"),
        ("EPCI", "insee_population", "INSEE", "concorde"),
    ]
    assert rows[2].first.value == "200057867"


def test_the_six_of_besancon(settings: Settings, besancon: Territory) -> None:
    """On the shipped files, whose communes are generalised."""
    contours = read_contours(raw_file("qpv_2024", shipped("anct/qpv-2024.geojson")), besancon, settings)
    path = shipped("geo-api/epcis/242500361/communes.geojson")
    communes = read_territory_communes(raw_file("communes_epci", path), besancon, settings)
    tables = Tables(contours, communes.of_territory, pd.DataFrame({"zone": []}), None, pd.DataFrame(), ())
    rows = join_parts(tables, besancon, load_registry()).concordances
    assert {row.result for row in rows} == {"concorde"}
    assert len(rows) == 12


def test_every_disagreement_of_france_in_the_mirror(mirror: Path, settings: Settings) -> None:
    """Each was looked at: Pierrefitte (93059) joined Saint-Denis, and Bouéni declares Bandraboua."""
    france = load_territory("france")
    contours = read_contours(raw_file("qpv_2024", mirror / "anct/qpv-2024-geojson.zip"), france, settings)
    path = mirror / "etalab/communes-1000m.geojson.gz"
    communes = read_territory_communes(raw_file("communes_france", path), france, settings)
    tables = Tables(
        contours,
        communes.of_territory,
        pd.DataFrame({"zone": []}),
        read_epci_members(raw_file("cog_epci", mirror / "cog/epci.json.gz"), settings),
        pd.DataFrame(),
        (),
        overseas=communes.overseas,
    )
    path = mirror / "insee/pop_QPV24.csv"
    declared, _ = read_declared_zones(raw_file("insee_population", path), settings)
    rows = join_parts(replace(tables, declared_zones=declared), france, load_registry()).concordances
    pierrefitte = {"QN09335M", "QN09336I", "QN09342M"}
    assert {(row.theme, row.first.source, row.code) for row in rows if row.result == "diverge"} == {
        ("Communes", "qpv_2024", "QN97654C"),
        *(("Communes", source, code) for source in ("qpv_2024", "insee_population") for code in pierrefitte),
    }
    # Polynesia and Saint-Martin: nobody publishes contours of their communes with the others.
    silent = [row.code for row in rows if row.result == "non_verifiable"]
    assert len(silent) == 91
    assert {code[2:5] for code in silent} == {"987", "978"}

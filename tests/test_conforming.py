"""Checks that find nothing wrong say so, in sentences that GIS users read; named codes keep their order."""

import datetime as dt
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from shapely.geometry import box

from qpv_geo.analysis.concordances import check_completeness, check_contract, report_concordances
from qpv_geo.analysis.districts import fragile_districts, local_districts, match_geographies
from qpv_geo.analysis.evolution import compare_geographies
from qpv_geo.analysis.facilities import count_facilities
from qpv_geo.analysis.layers import build_layers
from qpv_geo.checks import Check, check_none
from qpv_geo.french import first_of
from qpv_geo.ingest.facilities import FacilityTable
from qpv_geo.ingest.tables import Tables, read_tables
from qpv_geo.settings import Settings
from tests.publishing import BESANCON, CATALOGUE, REGISTRY, whole_snapshot

DAY = dt.date(2024, 1, 1)


def sentences(checks: Iterable[Check], outcome: str = "conforme") -> dict[tuple[str, str], str]:
    """Return expected, found and message of the checks of one outcome, by code and subject."""
    return {
        (check.code, check.subject): f"{check.expected} / {check.found} : {check.message}"
        for check in checks
        if check.outcome == outcome
    }


@pytest.fixture(scope="module")
def tables() -> Tables:
    return read_tables(whole_snapshot(), BESANCON, CATALOGUE, REGISTRY, Settings())


def test_the_snapshot_conforms(tables: Tables) -> None:
    _, checks = build_layers(tables, BESANCON, REGISTRY)
    found = sentences(checks)
    assert {key: text for key, text in found.items() if key[0] != "commune_declaree_ou_calculee"} == {
        (
            "communes_du_territoire",
            "besancon",
        ): "67 / 67 : 67 communes dans Grand Besançon Métropole, comme attendu.",
        (
            "qpv_du_territoire",
            "besancon",
        ): "6 / 6 : 6 QPV dans Grand Besançon Métropole, comme attendu.",
        (
            "chevauchement_des_communes",
            "communes",
        ): "0 / 0 : Les contours des communes ne se chevauchent sous aucun QPV.",
        **{
            ("qpv_sans_statistique", source): "0 / 0 : Aucun QPV du territoire sans statistique."
            for source in ("insee_demographie_2020", "insee_filosofi", "insee_population")
        },
        ("ecart_au_contrat", "besancon"): "0 / 0 : Écarts de plus de 10 points ou de 10 % : aucun.",
    }
    planoise = found["commune_declaree_ou_calculee", "QN02503M"]
    assert (
        planoise == "25056 / 25056 : Planoise : les communes déclarées sont celles que donnent les contours."
    )


def test_communes_that_the_cog_has_conform(tables: Tables) -> None:
    members = pd.DataFrame(
        {"insee_com": tables.communes["insee_com"], "siren_epci": BESANCON.epci, "nom_epci": "GBM"}
    )
    _, checks = build_layers(replace(tables, epci_members=members), BESANCON, REGISTRY)
    assert sentences(checks)["communes_du_cog", "besancon"] == (
        "67 / 67 : Les communes avec contour sont celles du code officiel géographique."
    )
    _, checks = build_layers(replace(tables, epci_members=members.iloc[2:]), BESANCON, REGISTRY)
    (said,) = (
        text for key, text in sentences(checks, "avertissement").items() if key[0] == "communes_du_cog"
    )
    lacking = ", ".join(sorted(members["insee_com"].iloc[:2]))
    assert said == f"65 / 67 : Communes du COG et communes avec contour diffèrent : {lacking}."


def test_contours_of_2015_that_did_not_change_conform() -> None:
    shape = box(926_000, 6_685_000, 926_400, 6_685_400)
    qpv = gpd.GeoDataFrame({"code_qp": ["QN02504I"], "lib_qp": ["Montrapon"]}, geometry=[shape], crs=2154)
    old = gpd.GeoDataFrame(
        {"code_qp": ["QP025005"], "nom_qp": ["Montrapon"], "commune_qp": ["Besançon"]},
        geometry=[shape],
        crs=2154,
    )
    communes = gpd.GeoDataFrame({"insee_com": ["25056"]}, geometry=[shape.buffer(50)], crs=2154)
    table = pd.DataFrame({"code_qp": ["QN02504I"], "code_qp_2015": ["QP025005"]})
    agree = "La table de correspondance et la superposition des contours concordent."
    _, _, checks = compare_geographies(qpv, old, communes, BESANCON, correspondence=table)
    assert sentences(checks) == {
        ("qpv_2015_du_territoire", "besancon"): (
            " / 1 : QPV 2015 situés pour l'essentiel dans Grand Besançon Métropole : QP025005."
        ),
        ("conservation_des_surfaces", "evolution_2015_2024"): (
            "0 m² / 0 m² : Conservé et entrant totalisent chaque QPV 2024, "
            "conservé et sortant chaque QPV 2015."
        ),
        ("lettre_du_code", "QN02504I"): (
            "I : contour de 2015 / prédécesseurs : QP025005 (100,0 %) : "
            "Montrapon : la lettre du code et la superposition des contours concordent."
        ),
        ("table_de_correspondance", "QN02504I"): f"QP025005 / QP025005 : {agree}",
        ("table_de_correspondance", "QP025005"): f"QN02504I / QN02504I : {agree}",
    }


def test_iris_of_one_geography_conform() -> None:
    matched, checks = match_geographies(["250560101"], DAY, ["250560101"], DAY, "iris_population")
    assert matched == {"250560101"}
    assert sentences(checks) == {
        ("geographie_des_iris", "iris_population"): (
            "01/01/2024 / 01/01/2024 : "
            "Statistiques et contours sont dans la même géographie : 1 IRIS rapprochés."
        ),
        ("iris_sans_contour", "iris_population"): "0 / 0 : 0 IRIS de la source sans contour.",
        ("iris_sans_statistique", "iris_population"): "0 / 0 : 0 IRIS sans ligne dans la source.",
    }
    _, unknown = match_geographies([], None, [], None, "iris_population")
    assert unknown[0].outcome == "non_verifiable", "two unknown dates are not the same"
    assert "du (date inconnue)" in unknown[0].message


def test_districts_that_do_not_overlap_conform() -> None:
    shapes = [box(0, 0, 1000, 1000), box(1000, 0, 1500, 1000)]
    contours = gpd.GeoDataFrame({"nom": ["Battant", "Chaprais"]}, geometry=shapes, crs=2154)
    assert sentences(local_districts(BESANCON, None, contours)[2]) == {
        (
            "chevauchement_des_quartiers",
            "quartiers",
        ): "0 / 0 : Les contours des quartiers ne se chevauchent pas."
    }


def test_fragile_districts_that_all_have_a_contour_conform() -> None:
    assert BESANCON.contrat is not None
    declared = BESANCON.contrat.quartiers_fragiles
    names = [district.nom for district in declared]
    shapes = [box(100 * n, 0, 100 * n + 50, 50) for n in range(len(names))]
    codes = sorted({district.insee_com for district in declared})
    contours = gpd.GeoDataFrame({"nom": names}, geometry=shapes, crs=2154)
    communes = gpd.GeoDataFrame(
        {"insee_com": codes}, geometry=[box(-9e3, -9e3, 9e3, 9e3)] * len(codes), crs=2154
    )
    found = sentences(fragile_districts(BESANCON, contours, communes, "fragiles.gpkg")[2])
    assert found["contours_des_quartiers_fragiles", "quartiers_fragiles"] == (
        "6 / 6 : Tous les quartiers fragiles ont un contour."
    )
    assert found["commune_du_quartier_fragile", "Cité Viotte"] == (
        "Besançon (25056) / 100,0 % : Cité Viotte : part du contour située dans Besançon."
    )


def test_facilities_that_are_all_located_conform() -> None:
    points = pd.DataFrame({"type_equipement": ["D265"], "insee_com": ["25056"], "x": [50.0], "y": [50.0]})
    types = pd.DataFrame({"type_equipement": ["D265"], "libelle": ["Médecin"], "domaine": ["Santé"]})
    square = [box(0, 0, 1000, 1000)]
    qpv = gpd.GeoDataFrame({"code_qp": ["QN02503M"], "lib_qp": ["Planoise"]}, geometry=square, crs=2154)
    communes = gpd.GeoDataFrame({"insee_com": ["25056"]}, geometry=square, crs=2154)
    _, checks = count_facilities(FacilityTable(points, types, "2024"), qpv, communes, BESANCON)
    assert sentences(checks) == {
        ("equipements_non_localises", "equipements"): (
            "0 / 0 : Tous les équipements des communes du territoire ont des coordonnées."
        ),
    }


def test_producers_that_agree_conform() -> None:
    assert sentences([report_concordances([])]) == {
        (
            "concordances",
            "concordances",
        ): "0 / 0 : Aucun désaccord entre producteurs dans la table concordances."
    }
    table = pd.DataFrame({"code_qp": ["QN02503M"]})
    assert sentences([check_completeness(table, {"QN02503M"}, national=True)]) == {
        ("correspondance_complete", "correspondance_2024_2015"): (
            "1 QPV / 1 QPV : La table de correspondance cite chaque QPV 2024."
        )
    }


def test_the_contract_warns_beyond_ten_points_or_ten_percent() -> None:
    figures = pd.DataFrame(
        {
            "code_qp": "QN02503M",
            "libelle": ["Population", "Taux", "Population", "Taux", "Taux"],
            "nom_contrat": ["A", "B", "C", "D", "E"],
            "unite": ["habitants", "%", "habitants", "%", "%"],
            "valeur_contrat": [1000.0, 40.0, 1000.0, 40.0, 40.0],
            "valeur_insee": [1100.0, 30.0, 1100.5, 29.9, np.nan],
        }
    )
    figures["ecart"] = figures["valeur_insee"] - figures["valeur_contrat"]
    (check,) = check_contract(figures, BESANCON)
    assert (check.outcome, check.found) == ("avertissement", "2")
    assert "Population de C (QN02503M), 1100,5 pour l'INSEE et 1000 au contrat" in check.message
    assert check_contract(pd.DataFrame(), BESANCON) == []
    assert check_contract(figures.iloc[4:], BESANCON) == []


@pytest.mark.parametrize(
    ("count", "end"),
    [(0, ""), (1, "c00"), (20, "c18, c19"), (21, "c19 et 1 autre"), (30, "c19 et 10 autres")],
)
def test_twenty_codes_are_named_and_the_others_counted(count: int, end: str) -> None:
    codes = [f"c{number:02}" for number in range(count)]
    assert first_of(codes).endswith(end)
    assert first_of(codes).count("c") == min(count, 20)
    check = check_none("lettre_du_code", "s", codes, "m")
    assert (check.outcome, check.found) == ("avertissement" if count else "conforme", str(count))


# Communes and EPCI of which none has a contour, declared in no order.
SEED = """
import geopandas as gpd
from shapely.geometry import box
from qpv_geo.analysis.declared_zones import compare_communes, compare_zones
from qpv_geo.analysis.selection import refuse_misplaced
from qpv_geo.analysis.ranks import peers_of
from qpv_geo.analysis.selection import computed_lists, count_by_epci, cut_by_communes
from qpv_geo.errors import ContractError
from qpv_geo.territory import load_territory

territory = load_territory("besancon")
codes = [f"25{number:03}" for number in range(1, 9)]
communes = gpd.GeoDataFrame(
    {"insee_com": codes, "nom_com": codes, "siren_epci": [f"20000000{code[-1]}" for code in codes]},
    geometry=[box(2000 * n, 0, 2000 * n + 2000, 2000) for n in range(8)], crs=2154,
)
qpv = gpd.GeoDataFrame(
    {"code_qp": ["QN02503M", "QN03904M"], "lib_qp": ["Planoise", "Ailleurs"],
     "insee_com": ["25901, 25903, 25902, 25001, 25904", "39007, 39003, 39001"],
     "siren_epci": ["200000009, 200000007, 200000008", None]},
    geometry=[box(0, 0, 9000, 2000), box(9000, 0, 9900, 900)], crs=2154,
)
pieces = cut_by_communes(qpv, communes, territory)
for check in compare_communes(qpv, pieces, {"25901", "25903", "25902", "39001", "39003"}, territory):
    print(check)
for row in compare_zones(qpv, pieces, communes, declared=None, members=communes, territory=territory):
    print(row)
print(computed_lists(qpv, pieces).to_dict("records"))
print(count_by_epci(qpv, communes, pieces).sort_index().to_dict())
try:
    refuse_misplaced(qpv, communes)
except ContractError as error:
    print(error)
"""


def test_the_order_of_named_codes_does_not_depend_on_the_hash_seed() -> None:
    def said(seed: int) -> str:
        return subprocess.run(
            [sys.executable, "-c", SEED],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
        ).stdout

    one = said(1)
    assert "déclarée sans recouvrement : 25901, 25902, 25903" in one
    assert "QN03904M (Ailleurs)" in one
    assert said(2) == one

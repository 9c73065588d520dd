"""Ranks: among the QPV of metropolitan France, within an EPCI, and offline as from the national files."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import box
from typer.testing import CliRunner

from qpv_geo.analysis.aggregate import WITHOUT_INTERVAL, add_computed
from qpv_geo.analysis.layers import build_layers
from qpv_geo.analysis.ranks import RANK_FIELDS, add_ranks, distribution_table, peers_of
from qpv_geo.cli import app
from qpv_geo.ingest.contours import Contours
from qpv_geo.ingest.distribution import SHIPPED, CountedFile, load_distributions
from qpv_geo.ingest.registry import load_registry
from qpv_geo.ingest.statistic_rows import StatisticRows
from qpv_geo.ingest.tables import Tables, read_tables
from qpv_geo.pipeline.fetching import fetch
from qpv_geo.pipeline.job import Job
from qpv_geo.settings import Settings
from qpv_geo.sources.fetch import Policy
from qpv_geo.territory import Territory, load_territory

BESANCON, FRANCE = load_territory("besancon"), load_territory("france")
OTHER = "200000000"
FILE = CountedFile("s", "national.zip", "00", shipped=False)
REGISTRY = load_registry()
OVERSEAS = "QN97401N"


def rows(
    values: Mapping[str, float], indicator: str = "taux_pauvrete_60", vintage: str = "2021"
) -> pd.DataFrame:
    codes = pd.array(list(values), dtype="str")
    frame = pd.DataFrame({"code": codes, "valeur": [float(value) for value in values.values()]})
    return frame.assign(
        zone="qpv",
        indicateur=indicator,
        millesime=vintage,
        statut=np.where(frame["valeur"].isna(), "secret", "ok"),
        source="s",
        fichier="data.csv",
        code_producteur=indicator.upper(),
        geographie=date(2024, 1, 1),
        **WITHOUT_INTERVAL,
    )


def tables(
    frame: pd.DataFrame,
    epci: Mapping[str, tuple[str, ...]],
    national: Mapping[str, CountedFile] | None = None,
) -> Tables:
    """Return what was read of QPV that declare EPCI."""
    contours = gpd.GeoDataFrame(
        {"code_qp": list(epci), "siren_epci": [", ".join(sirens) or None for sirens in epci.values()]},
        geometry=[box(0, 0, 1, 1)] * len(epci),
        crs=2154,
    )
    return Tables(
        Contours({2154: contours}, national=True, checks=()),
        gpd.GeoDataFrame(),
        StatisticRows(frame, {"s": FILE} if national is None else national),
        None,
        pd.DataFrame(),
        (),
    )


def ranked(statistics: pd.DataFrame, read: Tables, territory: Territory) -> dict[str, list[int | None]]:
    """Return the five ranks of each QPV of a territory that has one figure."""
    found = add_ranks(statistics, peers_of(statistics["code"], read, territory, REGISTRY), REGISTRY)
    return {
        row["code"]: [None if pd.isna(row[name]) else int(row[name]) for name in RANK_FIELDS]
        for row in found.to_dict("records")
    }


NATIONAL = {"QN02501N": 40, "QN02502N": 55, "QN02503N": 40, "QN02504N": 30, "QN02505N": np.nan, OVERSEAS: 90}
EPCI = {
    "QN02501N": (str(BESANCON.epci),),
    "QN02502N": (OTHER,),
    "QN02503N": (OTHER, str(BESANCON.epci)),
    "QN02504N": (str(BESANCON.epci),),
    "QN02505N": (str(BESANCON.epci),),
    OVERSEAS: ("249740101",),
}


def test_equals_share_the_better_rank_and_missing_values_have_none() -> None:
    national = rows(NATIONAL)
    own = national[national["code"].isin(["QN02501N", "QN02503N", "QN02504N", "QN02505N"])]
    # Four metropolitan QPV have a value: 55, 40, 40, 30; three of them are in the EPCI.
    assert ranked(own, tables(national, EPCI), BESANCON) == {
        "QN02501N": [2, 4, 1, 3, 8],
        "QN02503N": [2, 4, 1, 3, 8],
        "QN02504N": [4, 4, 3, 3, 3],
        "QN02505N": [None] * 5,
    }


def test_in_france_a_qpv_is_ranked_in_the_first_epci_that_it_declares() -> None:
    national = rows(NATIONAL)
    found = ranked(national, tables(national, EPCI), FRANCE)
    assert found["QN02502N"] == [1, 4, 1, 2, 10]
    assert found["QN02503N"] == [2, 4, 2, 2, 8]
    assert found["QN02501N"] == [2, 4, 1, 3, 8]


def test_overseas_only_the_epci_counts() -> None:
    national = rows(NATIONAL)
    assert ranked(national, tables(national, EPCI), FRANCE)[OVERSEAS] == [None, None, 1, 1, None]


def test_a_qpv_that_declares_no_epci_is_ranked_in_that_of_the_territory_or_in_none() -> None:
    national, epci = rows(NATIONAL), EPCI | {"QN02502N": ()}
    assert ranked(national, tables(national, epci), FRANCE)["QN02502N"] == [1, 4, None, None, 10]
    own = national[national["code"] == "QN02502N"]
    assert ranked(own, tables(national, epci), BESANCON)["QN02502N"] == [1, 4, 1, 4, 10]


def test_only_what_the_layer_shows_is_ranked() -> None:
    national = pd.concat(
        [rows(NATIONAL), rows(NATIONAL, vintage="2018"), rows(NATIONAL, indicator="part_impots")],
        ignore_index=True,
    )
    read = tables(national, EPCI)
    found = add_ranks(national, peers_of(NATIONAL, read, FRANCE, REGISTRY), REGISTRY)
    shown = (found["indicateur"] == "taux_pauvrete_60") & (found["millesime"] == "2021")
    assert found.loc[shown, "rang"].notna().sum() == 4
    assert found.loc[~shown, list(RANK_FIELDS)].isna().all(axis=None)


def test_what_nobody_publishes_is_ranked_among_all_for_which_it_can_be_computed() -> None:
    terms = [
        rows({"QN02501N": 44.8, "QN02502N": 10.1, "QN02503N": 20.0}, "part_sans_diplome", "2020"),
        rows({"QN02501N": 24.7, "QN02502N": 20.2, "QN02503N": np.nan}, "part_diplome_bep_cap", "2020"),
    ]
    national = pd.concat(terms, ignore_index=True)
    read = tables(national, EPCI)
    own = add_computed(national, REGISTRY.by_id)
    found = add_ranks(own, peers_of(NATIONAL, read, FRANCE, REGISTRY), REGISTRY)
    below = found[found["indicateur"] == "part_diplome_inferieur_bac"].set_index("code")
    assert below["valeur"].round(6).to_dict() == pytest.approx(
        {"QN02501N": 69.5, "QN02502N": 30.3, "QN02503N": np.nan}, nan_ok=True
    )
    assert below.loc["QN02501N", list(RANK_FIELDS)].tolist() == [1, 2, 1, 1, 10]
    assert below.loc["QN02502N", list(RANK_FIELDS)].tolist() == [2, 2, 1, 1, 5]
    assert below.loc["QN02503N", list(RANK_FIELDS)].isna().all()


def test_a_file_that_is_not_national_is_ranked_in_the_shipped_distribution() -> None:
    six = rows({"QN02503M": 55.0})
    (rank, among, *_), shipped = (
        ranked(six, tables(six, EPCI, {}), BESANCON)["QN02503M"],
        load_distributions()["taux_pauvrete_60", "2021"],
    )
    assert among == shipped.size
    assert rank == 1 + shipped.counts[shipped.levels > 55].sum()
    table = distribution_table(peers_of(six["code"], tables(six, EPCI, {}), BESANCON, REGISTRY).distributions)
    assert table["origine"].tolist() == ["répartition livrée avec le programme"]
    assert table["sha256"].tolist() == [shipped.origin.sha256]


def test_without_a_distribution_only_the_epci_counts() -> None:
    national = rows(NATIONAL, vintage="1999")
    found = ranked(national, tables(national, EPCI, {}), FRANCE)
    assert found["QN02501N"] == [None, None, 1, 3, None]


def test_no_values_and_no_rows_are_no_error() -> None:
    empty = rows({})
    assert ranked(empty, tables(empty, EPCI), BESANCON) == {}
    nothing = rows({"QN02501N": np.nan})
    assert ranked(nothing, tables(nothing, EPCI), BESANCON) == {"QN02501N": [None] * 5}


@given(st.lists(st.integers(0, 30), min_size=1, max_size=40))
def test_ranks_and_tenths_follow_from_the_number_of_higher_values(values: list[int]) -> None:
    national = rows({f"QN025{n:02d}N": value for n, value in enumerate(values)})
    epci = dict.fromkeys(national["code"], (str(BESANCON.epci),))
    found = ranked(national, tables(national, epci), BESANCON)
    for code, value in zip(national["code"], values, strict=True):
        higher = sum(other > value for other in values)
        tenth = 10 - int(10 * higher / len(values))
        assert found[code] == [higher + 1, len(values), higher + 1, len(values), tenth]


def test_the_table_says_how_values_spread_and_where_they_were_counted() -> None:
    read = tables(rows(NATIONAL), EPCI)
    (row,) = distribution_table(peers_of([], read, FRANCE, REGISTRY).distributions).to_dict("records")
    assert (row["indicateur"], row["millesime"]) == ("taux_pauvrete_60", "2021")
    assert (row["nb_qpv"], row["nb_secret"], row["nb_imprecis"]) == (4, 1, 0)
    assert [row[f"d{n}"] for n in range(1, 10)] == [30, 30, 40, 40, 40, 40, 40, 55, 55]
    assert (row["minimum"], row["maximum"]) == (30, 55)
    assert row["valeurs"] == "30 40*2 55"
    assert (row["origine"], row["source"], row["fichier"]) == ("fichier national", "s", "national.zip")


def test_no_distribution_leaves_the_layer_out() -> None:
    assert distribution_table({}).columns.empty


# ------------------------------------------------------------------ the genuine files


def release(settings: Settings, policy: Policy) -> dict[str, pd.DataFrame]:
    """Read and join all files of Besançon, without writing anything."""
    job = Job(BESANCON, settings, policy)
    raws = fetch(job)
    read = read_tables(raws, BESANCON, job.catalogue, REGISTRY, settings)
    return build_layers(read, BESANCON, REGISTRY)[0]


def test_offline_ranks_are_those_of_the_national_files(
    mirror: Path, settings: Settings, tmp_path: Path
) -> None:
    offline = release(settings, Policy(offline=True))
    national = release(Settings(data_dir=tmp_path / "national"), Policy(mirror=str(mirror)))
    key = ["code", "indicateur", "millesime"]
    six, same = (
        layers["statistiques"].query("zone == 'qpv' and valeur.notna()").set_index(key).sort_index()
        for layers in (offline, national)
    )
    compared = six[["valeur", *RANK_FIELDS]]
    pd.testing.assert_frame_equal(compared, same.loc[six.index, compared.columns], check_dtype=False)
    assert compared["rang"].notna().sum() == 114, "nineteen figures of six QPV"
    told, counted = (
        layers["repartition"].set_index(["indicateur", "millesime"]) for layers in (offline, national)
    )
    assert len(told) == 20
    pd.testing.assert_frame_equal(
        told.drop(columns="origine"), counted.loc[told.index].drop(columns="origine"), check_dtype=False
    )
    assert set(told["origine"]) == {"répartition livrée avec le programme"}
    assert set(counted["origine"]) == {"fichier national"}


def test_planoise_offline(settings: Settings) -> None:
    """Recounted by hand in INSEE's workbook and in the table of poverty rates."""
    layer = release(settings, Policy(offline=True))["qpv"].set_index("code_qp").loc["QN02503M"]
    figures = {
        name: [layer[f"{name}{ending}"] for ending in ("", "_rang", "_rang_sur")]
        for name in ("taux_pauvrete_60", "part_familles_monoparentales", "part_diplome_inferieur_bac")
    }
    assert figures == {
        "taux_pauvrete_60": [55.0, 108, 1299],
        "part_familles_monoparentales": [38.4, 324, 1162],
        "part_diplome_inferieur_bac": [69.5, 695, 1362],
    }


def test_planoise_s_determinants_of_health_are_ranked(settings: Settings) -> None:
    """Recounted by hand in INSEE's table."""
    health = release(settings, Policy(offline=True))["sante"].query("zone == 'qpv'")
    figures = health[health["code_qp"] == "QN02503M"].set_index("ligne")[["valeur", "rang", "rang_sur"]]
    for line, expected in {
        "part_residences_principales_suroccupees": [9.1, 604, 987],
        "part_locataires": [88.5, 631, 1361],
        "part_75_ans_ou_plus": [5.0, 813, 1221],
    }.items():
        assert figures.loc[line].tolist() == expected


def test_the_shipped_distributions_are_those_of_the_national_files(mirror: Path, tmp_path: Path) -> None:
    path = tmp_path / "distribution.csv"
    options = ["--mirror", str(mirror), "--output", str(path)]
    result = CliRunner().invoke(app, ["sources", "distribution", *options])
    assert result.exit_code == 0, result.output
    assert path.read_bytes() == SHIPPED.read_bytes()

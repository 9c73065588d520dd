"""The scale of statistics: fractions in place of percentages are refused, what is small by nature is not."""

import csv
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from qpv_geo.errors import ContractError
from qpv_geo.ingest.distribution import CountedFile, Distribution, Distributions, compare_scale
from qpv_geo.ingest.registry import Indicator, load_registry
from qpv_geo.ingest.statistics import Statistics, read_statistics
from qpv_geo.settings import Settings
from qpv_geo.sources.raw import RawFile
from tests.raw_files import raw_file, shipped, write_zip

POVERTY, EMPTY, INHABITANTS, INDEX = (
    "taux_pauvrete_60",
    "part_residences_secondaires",
    "population_municipale",
    "indice_jeunesse",
)


def indicator(name: str, **parts: object) -> Indicator:
    base = {"id": name, "theme": "t", "label": name, "unit": "%", "kind": "rate", "source": "s"}
    return Indicator.model_validate(base | {"codes": [name]} | parts)


INDICATORS = {
    POVERTY: indicator(POVERTY, qpv_layer=True),
    EMPTY: indicator(EMPTY),
    INHABITANTS: indicator(INHABITANTS, kind="count", qpv_layer=True),
    INDEX: indicator(INDEX, kind="index", unit="", qpv_layer=True),
}


def distribution(*levels: float) -> Distribution:
    """Return a distribution in which each value is that of twenty QPV."""
    origin = CountedFile("s", "national.zip", "00", shipped=True)
    return Distribution(np.array(levels), np.full(len(levels), 20, dtype=np.int64), {"secret": 4}, origin)


SHIPPED: Distributions = {
    (POVERTY, "2018"): distribution(1000.0),
    (POVERTY, "2021"): distribution(25.0, 35.0, 43.0, 51.0, 75.0),
    (EMPTY, "2020"): distribution(0.0, 0.1, 0.2),
    (INHABITANTS, "2020"): distribution(1000.0, 2000.0),
    (INDEX, "2020"): distribution(0.3, 1.7, 9.7),
}


def compare(
    name: str, values: list[float], vintage: str = "2020", *, of_qpv: bool = True, shipped: bool = True
) -> tuple[str, str] | None:
    inside = np.full(len(values), of_qpv)
    return compare_scale(INDICATORS[name], vintage, np.array(values), inside, SHIPPED if shipped else {})


@pytest.mark.parametrize("factor", [100.0, 10.0, 0.1, 0.01])
def test_a_national_column_of_another_scale_is_refused_with_both_medians(factor: float) -> None:
    found = compare(INDEX, [1.7 * factor] * 60)
    assert found
    assert "1.7, as in national.zip" in found[0]
    assert found[1] == f"{1.7 * factor:g}, the median of 60 QPV"


def test_a_tenth_as_it_is_rounded_is_refused() -> None:
    assert compare(POVERTY, [4.5] * 60, "2021")


@pytest.mark.parametrize("factor", [1.0, 3.0, 0.3])
def test_a_national_column_of_the_same_scale_passes(factor: float) -> None:
    assert compare(INDEX, [1.7 * factor] * 60) is None


def test_without_its_vintage_the_newest_is_the_measure() -> None:
    assert compare(POVERTY, [45.0] * 60, "2023") is None
    assert compare(POVERTY, [1000.0] * 60, "2023")
    assert compare(POVERTY, [1000.0] * 60, "2018") is None


def test_what_is_rare_by_nature_passes() -> None:
    assert compare(EMPTY, [0.0] * 60) is None
    assert compare(EMPTY, [0.3] * 60) is None
    assert compare(EMPTY, [30.0] * 6) is None, "no principal indicator, a few quarters"
    assert compare(EMPTY, [30.0] * 60)


def test_a_few_rows_are_refused_only_if_every_value_is_beyond_the_distribution() -> None:
    assert compare(INDEX, [98.0, 200.0])
    assert compare(INDEX, [0.02, 0.01, np.nan])
    assert compare(INDEX, [0.02, 0.03]) is None
    assert compare(INDEX, [97.0]) is None


def test_a_negative_least_value_is_stretched_outwards() -> None:
    shipped: Distributions = {(INDEX, "2020"): distribution(-5.0, 5.0)}
    for value, sound in ((-50.0, True), (-51.0, False), (51.0, False)):
        found = compare_scale(INDICATORS[INDEX], "2020", np.array([value]), np.array([True]), shipped)
        assert (found is None) == sound


def test_counts_are_not_compared() -> None:
    assert compare(INHABITANTS, [1.0] * 60) is None


def test_no_values_are_no_problem() -> None:
    assert compare(POVERTY, [np.nan] * 60) is None
    assert compare(POVERTY, []) is None


@pytest.mark.parametrize("of_qpv", [True, False])
def test_poverty_as_a_fraction_is_refused_whatever_else(of_qpv: bool) -> None:  # noqa: FBT001
    found = compare(POVERTY, [0.55, np.nan, 0.38], of_qpv=of_qpv, shipped=False)
    assert found == ("percentages", "fractions, from 0.38 to 0.55")
    assert compare(POVERTY, [0.55, 38.0], of_qpv=of_qpv, shipped=False) is None


def test_other_zones_than_qpv_are_not_compared_with_them() -> None:
    assert compare(INDEX, [170.0] * 60, of_qpv=False) is None


# ------------------------------------------------------------------ the genuine files


FILOSOFI, POPULATION, DEMOGRAPHY = "insee_filosofi", "insee_population", "insee_demographie_2020"
FOLDERS = {
    FILOSOFI: "insee/revenus_pauvrete_2021_qp24_v2_csv",
    POPULATION: "insee/pop_QPV24.csv",
    DEMOGRAPHY: "insee/estimations-demographiques_2020_QPV2024_csv",
    "filosofi_communes": "insee/base-cc-filosofi-2021-communes_csv",
}


def read(raw: RawFile, settings: Settings) -> Statistics:
    return read_statistics(raw, load_registry(), settings)


def left_out(statistics: Statistics) -> list[str]:
    return [check.message for check in statistics.checks if check.code == "colonne_ecartee"]


@pytest.mark.parametrize("source", FOLDERS)
def test_the_shipped_files_keep_their_scale(source: str, settings: Settings) -> None:
    assert left_out(read(raw_file(source, shipped(FOLDERS[source])), settings)) == []


@pytest.mark.parametrize("source", FOLDERS)
def test_the_national_files_keep_their_scale(source: str, mirror: Path, settings: Settings) -> None:
    path = mirror / FOLDERS[source]
    archive = path if path.suffix else path.with_suffix(".zip")
    statistics = read(raw_file(source, archive, provenance="mirror"), settings)
    assert left_out(statistics) == []
    small = statistics.rows[statistics.rows["code_producteur"].isin(["partResSec", "partMenLogGrat"])]
    assert (source == DEMOGRAPHY) == bool(len(small)), "small by nature, and kept"


def scaled(data: bytes, column: str, factor: float) -> bytes:
    """Multiply the values of a column of a producer's table."""
    header, *rows = csv.reader(io.StringIO(data.decode("utf-8-sig")), delimiter=";")
    place = header.index(column)
    for row in rows:
        if row[place][:1].isdigit():
            row[place] = f"{float(row[place].replace(',', '.')) * factor:.6g}".replace(".", ",")
    stream = io.StringIO()
    csv.writer(stream, delimiter=";", lineterminator="\r\n").writerows([header, *rows])
    return stream.getvalue().encode()


def spoilt(archive: Path, member: str, column: str, factor: float, path: Path) -> Path:
    """Copy an archive with one column of one member multiplied."""
    with zipfile.ZipFile(archive) as original:
        members = {name: original.read(name) for name in original.namelist()}
    return write_zip(path, members | {member: scaled(members[member], column, factor)})


@pytest.mark.parametrize("factor", [0.01, 0.1, 10])
def test_national_poverty_rates_of_another_scale_stop_the_run(
    factor: float, mirror: Path, settings: Settings, tmp_path: Path
) -> None:
    archive, member = mirror / f"{FOLDERS[FILOSOFI]}.zip", "indic-revenu-disponible-qp24-2021_QP.csv"
    path = spoilt(archive, member, "DISP_TP60_A21", factor, tmp_path / archive.name)
    with pytest.raises(ContractError, match="DISP_TP60_A21: expected"):
        read(raw_file(FILOSOFI, path, provenance="mirror"), settings)


def test_poverty_rates_of_six_qpv_as_fractions_stop_the_run(settings: Settings, tmp_path: Path) -> None:
    name = "indic-revenu-disponible-qp24-2021_QP.csv"
    data = (shipped(FOLDERS[FILOSOFI]) / name).read_bytes()
    (tmp_path / name).write_bytes(scaled(data, "DISP_TP60_A21", 0.01))
    with pytest.raises(ContractError, match=r"expected percentages; found fractions, from 0\.38 to 0\.55"):
        read(raw_file(FILOSOFI, tmp_path), settings)


@pytest.mark.parametrize(
    ("column", "expected", "found"),
    [
        ("partFamMono", "a median of about 33.6 %", "0.336 %, the median of 1162 QPV"),
        ("partMenLogGrat", "a median of about 0.6 %", "0.006 %, the median of 667 QPV"),
        ("indiceJeunesse", "a median of about 1.7", "0.017, the median of 1298 QPV"),
    ],
)
def test_one_column_of_another_scale_is_left_out_alone(
    column: str, expected: str, found: str, *, mirror: Path, settings: Settings, tmp_path: Path
) -> None:
    archive = mirror / f"{FOLDERS[DEMOGRAPHY]}.zip"
    member = "data_estimations_demographiques_2020_QPV.csv"
    path = spoilt(archive, member, column, 0.01, tmp_path / archive.name)
    statistics = read(raw_file(DEMOGRAPHY, path, provenance="mirror"), settings)
    (message,) = left_out(statistics)
    assert f"{column}: expected {expected}, as in {archive.name}; found {found}" in message
    of_qpv = statistics.rows[statistics.rows["zone"] == "qpv"]
    assert of_qpv["code_producteur"].nunique() == 120
    assert column not in set(of_qpv["code_producteur"])

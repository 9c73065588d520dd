"""``locate --report``: counts and shares by QPV, between which the truth lies, and the numbers of streets."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from python_calamine import CalamineWorkbook

from qpv_geo.locate.coordinates import split_geometries
from qpv_geo.locate.files import locate_file
from qpv_geo.locate.locator import Locator
from qpv_geo.locate.points import Points
from qpv_geo.locate.report import Span, Tally, shares, span, street_columns
from qpv_geo.releases.release import Release
from qpv_geo.settings import Settings
from qpv_geo.territory import Territory
from tests.command_line import qpv_geo_here
from tests.examples import examples
from tests.villeneuve import CARRES, CARRES_2015, IDENTIQUE, square

Ville = tuple[Release, Territory]
SQUARES = gpd.GeoDataFrame(
    {"code_qp": ["QN02501M", "QN02502M", "QN02503M"], "lib_qp": ["A", "B", "C"]},
    geometry=[square(0, 0, 100, 100), square(130, 0, 230, 100), square(900, 0, 1000, 100)],
    crs=2154,
)


@examples(25)
@given(seed=st.integers(0, 2**32 - 1), reach=st.sampled_from([0.0, 5.0, 40.0, 600.0]))
def test_the_truth_lies_between_least_and_most(seed: int, reach: float) -> None:
    """Wherever the points really are within their precision: of each QPV, and of all."""
    rng = np.random.default_rng(seed)
    west, south, *_ = SQUARES.total_bounds
    real = rng.uniform([west - 60, south - 60], [west + 1060, south + 160], (300, 2))
    radius = rng.uniform(0, reach, len(real))
    angle, away = rng.uniform(0, 2 * np.pi, len(real)), radius * rng.uniform(0, 0.999, len(real))
    placed = real + np.column_stack([np.cos(angle), np.sin(angle)]) * away[:, None]
    locator = Locator.of_districts(SQUARES, points_crs=2154)
    geometries = split_geometries(shapely.points(placed))
    tally = Tally(locator, {})
    for rows in np.array_split(np.arange(len(real)), 2):
        chunk = geometries.take(rows)
        tally.add(
            pa.table({}).column,
            chunk,
            radius[rows],
            locator.locate_geometries(chunk, radius[rows], shares=False),
        )
    counts = {code: Span(least, most) for code, *_, least, most in tally.qpv}
    for code, shape in zip(SQUARES["code_qp"], SQUARES.geometry, strict=True):
        least, most = counts.get(code, Span(0, 0))
        assert least <= shapely.intersects_xy(shape, *real.T).sum() <= most
    assert tally.unplaced == 0, "each may be in a QPV that is known"


def street(folder: Path) -> Path:
    """Write the numbers 1 to 40 of a street that leaves a QPV after the twelfth, and what is beside it."""
    rows = [("250", "rue du Port", number, "", 2000 + number * 40 + 500, 2500) for number in range(1, 41)]
    rows.append(("250", "rue du Port", 12, "", 2990, 2500))  # the same number again
    rows += [("250", "rue du Bois", number, "bis", 8000, 8000) for number in (1, 2)]
    rows += [
        ("251", "rue du Port", 1, "", 6300, 7200),
        ("", "", "", "", 6300, 7200),
        ("250", "", 7, "", "", ""),
        ("250", "", 8, "", 6300, 7200),
    ]
    frame = pd.DataFrame(rows, columns=["code_insee", "nom_voie", "numero", "rep", "x", "y"])
    x, y = square(0, 0, 0, 0).bounds[:2]
    numbers = frame[["x", "y"]].apply(pd.to_numeric)
    frame["x"], frame["y"] = numbers["x"] + x, numbers["y"] + y
    frame.to_csv(folder / "adresses.csv", index=False)
    return folder / "adresses.csv"


def test_a_street_has_so_many_numbers_of_so_many(tmp_path: Path, villeneuve: Ville) -> None:
    release, territory = villeneuve
    settings = Settings(data_dir=release.path.parents[2])
    path, report = street(tmp_path), tmp_path / "compte.xlsx"
    columns = Points(x="x", y="y", crs=2154)
    locate_file(path, columns, territory, settings, report=report)
    book = CalamineWorkbook.from_path(report)
    assert book.sheet_names == ["Synthèse", "QPV", "Rues"]
    streets = book.get_sheet_by_name("Rues").to_python()[1:]
    assert [row[:3] for row in streets] == [
        ["250", "rue du Port", "12 numéros sur 40"],
        ["251", "rue du Port", "1 numéro sur 1"],
    ]
    qpv = book.get_sheet_by_name("QPV").to_python()[1:]
    assert [(row[0], *row[2:7]) for row in qpv] == [(CARRES, 13, 0, 0, 13, 13), (IDENTIQUE, 3, 0, 0, 3, 3)]
    assert qpv[0][7] == pytest.approx(13 / 46 * 100)
    unsure = Points(x="x", y="y", crs=2154, precision=50.0)
    locate_file(path, unsure, territory, settings, report=report, force=True)
    streets = CalamineWorkbook.from_path(report).get_sheet_by_name("Rues").to_python()[1:]
    assert streets[0][2:] == ["11 à 13 numéros sur 40", 11, 13, 40]


def test_a_page_says_it_in_french(tmp_path: Path, villeneuve: Ville) -> None:
    release, territory = villeneuve
    settings = Settings(data_dir=release.path.parents[2])
    path, report = street(tmp_path), tmp_path / "compte.html"
    rows = pd.read_csv(path, dtype=str)
    rows["jour"] = ["2020-01-01"] * 20 + ["2000-01-01"] * 5 + ["2024-06-01"] * (len(rows) - 25)
    rows.loc[0, "nom_voie"] = "<script>alert(1)</script>"
    rows.to_csv(path, index=False)
    locate_file(path, Points(x="x", y="y", crs=2154, date_column="jour"), territory, settings, report=report)
    page = report.read_text(encoding="utf-8")
    assert "<script" not in page
    assert "Content-Security-Policy" in page
    assert CARRES_2015 in page
    assert "Dans le seul total\u00a0: 5 lignes incertaines, de précision inconnue" in page
    assert "sur 46 lignes lisibles" in page


def test_polygons_across_a_limit_are_in_it_at_most(tmp_path: Path, villeneuve: Ville) -> None:
    release, territory = villeneuve
    settings = Settings(data_dir=release.path.parents[2])
    buildings = [
        square(1990, 2500, 2010, 2510),
        square(2500, 2500, 2510, 2510),
        square(1800, 2500, 1900, 2510),
    ]
    path, report = tmp_path / "p.geojson", tmp_path / "compte.xlsx"
    gpd.GeoDataFrame(geometry=buildings, crs=2154).to_file(path, engine="pyogrio")
    locate_file(path, Points(precision=150.0), territory, settings, report=report)
    (row,) = CalamineWorkbook.from_path(report).get_sheet_by_name("QPV").to_python()[1:]
    assert row[:7] == [CARRES, "Les Carrés", 1, 0, 2, 1, 3]
    locate_file(path, Points(), territory, settings, report=report, force=True)
    (row,) = CalamineWorkbook.from_path(report).get_sheet_by_name("QPV").to_python()[1:]
    assert row[:7] == [CARRES, "Les Carrés", 1, 1, 0, 1, 2]


def test_what_is_written_for_people() -> None:
    assert (span(Span(12, 12)), span(Span(1200, 1400))) == ("12", "1\u202f200 à 1\u202f400")
    assert shares(Span(1, 2), 40) == "2,5\u202f% à 5\u202f%"
    assert shares(Span(0, 0), 0) == ""
    found = street_columns(["Numéro", "rep", "Nom_Voie", "code_postal", "code_insee"])
    assert found == {"commune": "code_insee", "street": "Nom_Voie", "number": "Numéro", "suffix": "rep"}
    assert street_columns(["nom_voie", "x"]) == {}


def test_a_report_has_its_kinds_and_replaces_nothing(tmp_path: Path, bandless: Settings) -> None:
    (tmp_path / "p.csv").write_text("lon,lat\n6.02,47.24\n")
    arguments = [tmp_path / "p.csv", "--data", bandless.data_dir, "--force"]
    done = qpv_geo_here("locate", *arguments, "--report", tmp_path / "compte.xlsx")
    assert done.stdout.endswith("compte.xlsx\n"), done.stderr
    done = qpv_geo_here(
        "locate", *arguments[:-1], "--output", tmp_path / "o.csv", "--report", tmp_path / "compte.xlsx"
    )
    assert (done.returncode, "compte.xlsx exists: give --force" in done.stderr) == (2, True)
    assert not (tmp_path / "o.csv").exists()
    done = qpv_geo_here("locate", *arguments, "--report", tmp_path / "compte.pdf")
    assert (done.returncode, "its name ends with .xlsx or .html" in done.stderr) == (2, True)

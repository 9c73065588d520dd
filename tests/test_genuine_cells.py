"""What is published of Besançon, cell by cell, against what INSEE and the Contrat de ville say.

The figures were typed from INSEE's workbook, the producers' tables and the contract's presentation: nothing
of the project is asked for them. The release is opened with sqlite3 alone.
"""

import csv
import io
import json
import sqlite3
import zipfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
import shapely

from qpv_geo.pipeline.job import Job
from qpv_geo.pipeline.one import Outcome, run
from qpv_geo.settings import Settings
from qpv_geo.sources.fetch import Policy
from qpv_geo.territory import load_territory
from tests.server import MAINTENANCE

Bounds = tuple[float | None, float | None]

ORCHAMPS, PLANOISE, MONTRAPON = "QN02502M", "QN02503M", "QN02504M"
CLAIRS_SOLEIL, SAINT_CLAUDE, BATTANT = "QN02505M", "QN02515N", "QN02517N"

# Census of 2020: estimate, and bounds of its interval.
CENSUS: Mapping[str, Mapping[str, tuple[float, float, float]]] = {
    "indiceJeunesse": {
        ORCHAMPS: (1.3, 1.1, 1.6),
        PLANOISE: (2.1, 2.0, 2.3),
        MONTRAPON: (2.4, 1.8, 3.0),
        CLAIRS_SOLEIL: (2.1, 1.7, 2.4),
        SAINT_CLAUDE: (3.0, 2.2, 3.7),
        BATTANT: (1.0, 0.8, 1.1),
    },
    "partPopEt": {
        ORCHAMPS: (21.3, 17.9, 24.7),
        PLANOISE: (24.7, 23.4, 26.1),
        MONTRAPON: (20.5, 16.7, 24.4),
        CLAIRS_SOLEIL: (30.6, 24.6, 36.7),
        SAINT_CLAUDE: (22.1, 18.8, 25.3),
        BATTANT: (11.2, 9.4, 13.1),
    },
    "partPopImmi": {
        ORCHAMPS: (26.0, 23.5, 28.6),
        PLANOISE: (29.1, 27.8, 30.4),
        MONTRAPON: (25.5, 21.6, 29.3),
        CLAIRS_SOLEIL: (38.5, 32.8, 44.1),
        SAINT_CLAUDE: (28.8, 25.6, 31.9),
        BATTANT: (14.6, 12.4, 16.7),
    },
    "txEmp": {
        ORCHAMPS: (39.9, 37.6, 42.2),
        PLANOISE: (38.2, 37.2, 39.1),
        MONTRAPON: (37.9, 35.9, 40.0),
        CLAIRS_SOLEIL: (36.4, 33.1, 39.7),
        SAINT_CLAUDE: (52.2, 47.8, 56.6),
        BATTANT: (52.3, 49.2, 55.4),
    },
    "partMen1p": {
        ORCHAMPS: (58.6, 54.5, 62.7),
        PLANOISE: (46.7, 45.1, 48.2),
        MONTRAPON: (53.6, 47.7, 59.5),
        CLAIRS_SOLEIL: (31.1, 26.1, 36.0),
        SAINT_CLAUDE: (39.5, 34.3, 44.7),
        BATTANT: (69.9, 66.2, 73.6),
    },
    "partFamMono": {
        ORCHAMPS: (35.9, 31.8, 40.1),
        PLANOISE: (38.4, 36.9, 39.8),
        MONTRAPON: (47.0, 42.2, 51.9),
        CLAIRS_SOLEIL: (35.3, 31.0, 39.7),
        SAINT_CLAUDE: (39.4, 33.4, 45.4),
        BATTANT: (34.0, 26.8, 41.2),
    },
    "partPopSansDip": {
        ORCHAMPS: (42.5, 40.3, 44.6),
        PLANOISE: (44.8, 44.0, 45.6),
        MONTRAPON: (39.1, 36.6, 41.5),
        CLAIRS_SOLEIL: (44.3, 39.6, 49.0),
        SAINT_CLAUDE: (32.6, 29.7, 35.6),
        BATTANT: (18.8, 16.3, 21.3),
    },
    "partPopBepCap": {
        ORCHAMPS: (31.7, 29.4, 34.0),
        PLANOISE: (24.7, 23.9, 25.6),
        MONTRAPON: (19.9, 17.4, 22.3),
        CLAIRS_SOLEIL: (25.4, 21.7, 29.1),
        SAINT_CLAUDE: (25.7, 23.0, 28.3),
        BATTANT: (22.0, 19.6, 24.4),
    },
    "txChom": {
        ORCHAMPS: (37.3, 34.5, 40.2),
        PLANOISE: (32.1, 30.9, 33.4),
        MONTRAPON: (37.2, 33.3, 41.1),
        CLAIRS_SOLEIL: (35.4, 30.3, 40.5),
        SAINT_CLAUDE: (21.5, 17.8, 25.1),
        BATTANT: (18.8, 15.9, 21.6),
    },
}
# Estimates that INSEE withholds for want of precision: their interval stands, or nothing does.
WITHHELD: Mapping[tuple[str, str], Bounds] = {
    (ORCHAMPS, "partPop15_24Et"): (4.7, 11.1),
    (ORCHAMPS, "partMen6pp"): (2.4, 4.6),
    (ORCHAMPS, "partResPrinc80_100"): (3.3, 7.0),
    (PLANOISE, "partResSec"): (0.1, 0.2),
    (PLANOISE, "partResPrincAch19"): (0.2, 0.6),
    (MONTRAPON, "txEmp55_64"): (18.7, 40.1),
    (MONTRAPON, "partMenProp"): (0.0, 1.0),
    (PLANOISE, "partArtCadr"): (None, None),
    (PLANOISE, "partPI"): (None, None),
    (PLANOISE, "partEmpl"): (None, None),
    (PLANOISE, "partOuvr"): (None, None),
}
TOGETHER: Mapping[tuple[str, str], Mapping[str, float]] = {
    ("ensemble_qpv_epci", "242500361"): {
        "indiceJeunesse": 1.9,
        "partPopEt": 23.0,
        "partPopImmi": 27.6,
        "txEmp": 40.5,
        "txChom": 31.2,
    },
    ("ensemble_qpv_departement", "25"): {
        "indiceJeunesse": 1.8,
        "partPopEt": 23.3,
        "partPopImmi": 28.9,
        "txEmp": 41.4,
        "txChom": 31.5,
    },
    ("ensemble_qpv_region", "27"): {"partPopReg": 5.7, "indiceJeunesse": 1.5, "txEmp": 42.2, "txChom": 32.0},
    ("ensemble_qpv", "00"): {"partPopReg": 8.1, "indiceJeunesse": 1.8, "txEmp": 46.8, "txChom": 27.5},
}
# Population, poverty; and what the contract says of population, poverty and single-parent families.
PEOPLE = {
    ORCHAMPS: 3194,
    PLANOISE: 15603,
    MONTRAPON: 1636,
    CLAIRS_SOLEIL: 1502,
    SAINT_CLAUDE: 1211,
    BATTANT: 2481,
}
POVERTY = {ORCHAMPS: 50, PLANOISE: 55, MONTRAPON: 45, CLAIRS_SOLEIL: 49, SAINT_CLAUDE: 45, BATTANT: 38}
CONTRACT = {
    ORCHAMPS: (3194, 46, 35),
    PLANOISE: (15603, 55, 38),
    MONTRAPON: (1636, 45, 47),
    CLAIRS_SOLEIL: (1502, 49, 35),
    SAINT_CLAUDE: (1211, 45, 39),
    BATTANT: (2481, 38, 34),
}
COMMUNE = {
    "taux_pauvrete_60": 23.0,
    "niveau_vie_median": 20_680,
    "niveau_vie_d1": 10_360,
    "niveau_vie_d9": 38_340,
    "taux_pauvrete_60_locataires": 36,
    "taux_pauvrete_60_proprietaires": 5,
}
INFERIOR_TO_BAC = {ORCHAMPS: 74.2, PLANOISE: 69.5, MONTRAPON: 59.0, CLAIRS_SOLEIL: 69.7, SAINT_CLAUDE: 58.3,
                   BATTANT: 40.8}  # fmt: skip

ROWS = "SELECT valeur, statut, borne_basse, borne_haute FROM statistiques WHERE"


class Database:
    """A GeoPackage, opened as any program may."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        (self.path,) = outcome.release.path.glob("*.gpkg")

    def rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as database:
            return database.execute(query, values).fetchall()

    def row(self, query: str, *values: object) -> tuple[object, ...]:
        (found,) = self.rows(query, *values)
        return found


@pytest.fixture(scope="module", params=["snapshot", "mirror"])
def published(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """Besançon from what is shipped, and from the national files."""
    if request.param == "snapshot":
        return Database(request.getfixturevalue("refreshed"))
    policy = Policy(mirror=str(request.getfixturevalue("mirror")))
    settings = Settings(data_dir=tmp_path_factory.mktemp(request.param))
    return Database(run(Job(load_territory("besancon"), settings, policy)))


@pytest.mark.parametrize(("column", "code"), [(column, code) for column in CENSUS for code in CENSUS[column]])
def test_census_of_2020(published: Database, column: str, code: str) -> None:
    value, low, high = CENSUS[column][code]
    where = f"{ROWS} zone = 'qpv' AND millesime = '2020' AND code = ? AND code_producteur = ?"
    assert published.row(where, code, column) == (value, "ok", low, high)


@pytest.mark.parametrize(("code", "column"), WITHHELD)
def test_estimates_that_are_withheld(published: Database, code: str, column: str) -> None:
    where = f"{ROWS} zone = 'qpv' AND millesime = '2020' AND code = ? AND code_producteur = ?"
    assert published.row(where, code, column) == (None, "imprecis", *WITHHELD[code, column])


@pytest.mark.parametrize(("zone", "code"), TOGETHER)
def test_qpv_taken_together(published: Database, zone: str, code: str) -> None:
    rows = published.rows(
        "SELECT code_producteur, valeur FROM statistiques WHERE zone = ? AND code = ? AND statut = 'ok'",
        zone,
        code,
    )
    assert TOGETHER[zone, code].items() <= dict(rows).items()


def test_populations_and_poverty(published: Database) -> None:
    rows = published.rows("SELECT code_qp, population_municipale, taux_pauvrete_60 FROM qpv")
    assert {code: (people, rate) for code, people, rate in rows} == {
        code: (PEOPLE[code], POVERTY[code]) for code in PEOPLE
    }
    assert sum(PEOPLE.values()) == 25_627


@pytest.mark.parametrize(
    ("field", "column"),
    [
        ("indice_jeunesse", "indiceJeunesse"),
        ("part_etrangers", "partPopEt"),
        ("part_immigres", "partPopImmi"),
        ("taux_emploi", "txEmp"),
        ("part_menages_1_personne", "partMen1p"),
        ("part_familles_monoparentales", "partFamMono"),
        ("part_sans_diplome", "partPopSansDip"),
        ("taux_chomage_recensement", "txChom"),
    ],
)
def test_columns_of_the_layer(published: Database, field: str, column: str) -> None:
    fields = (field, f"{field}_borne_basse", f"{field}_borne_haute", f"{field}_millesime", f"{field}_statut")
    rows = published.rows(f"SELECT code_qp, {', '.join(fields)} FROM qpv")  # noqa: S608 - names of this test
    assert {code: tuple(cells) for code, *cells in rows} == {
        code: (*cells, "2020", "ok") for code, cells in CENSUS[column].items()
    }


def test_below_the_baccalaureat_is_the_sum_of_two(published: Database) -> None:
    rows = published.rows("SELECT code_qp, part_diplome_inferieur_bac FROM qpv")
    assert dict(rows) == INFERIOR_TO_BAC


def test_the_commune_beside_its_qpv(published: Database) -> None:
    rows = published.rows(
        "SELECT indicateur, valeur FROM statistiques WHERE zone = 'commune' AND code = '25056' "
        "AND millesime = '2021'"
    )
    assert COMMUNE.items() <= dict(rows).items()


def test_the_contract_has_three_figures_of_each_qpv(published: Database) -> None:
    rows = published.rows(
        "SELECT code_qp, indicateur, valeur_contrat, valeur_insee, ecart FROM contrat_de_ville"
    )
    names = ("population_municipale", "taux_pauvrete_60", "part_familles_monoparentales")
    insee = {code: (PEOPLE[code], POVERTY[code], CENSUS["partFamMono"][code][0]) for code in CONTRACT}
    wanted = {
        (code, name): (stated, insee[code][n], round(insee[code][n] - stated, 1))
        for code, figures in CONTRACT.items()
        for n, (name, stated) in enumerate(zip(names, figures, strict=True))
    }
    assert {(code, name): tuple(cells) for code, name, *cells in rows} == wanted
    assert len(rows) == 18


def test_every_column_of_the_census_is_published(published: Database) -> None:
    (columns,) = published.row(
        "SELECT COUNT(DISTINCT code_producteur) FROM statistiques WHERE zone = 'qpv' AND "
        "source = 'insee_demographie_2020' AND code_producteur NOT LIKE '% %'"
    )
    assert columns == 121


# ---------------------------------------------------------------- the mirror, with something added or spoilt


@pytest.fixture
def own_mirror(mirror: Path, tmp_path: Path) -> Path:
    """A mirror of links to the real one, of which a test may replace files."""
    folder = tmp_path / "mirror"
    for path in mirror.rglob("*"):
        link = folder / path.relative_to(mirror)
        if path.is_file():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    return folder


def refresh(mirror: Path, settings: Settings) -> Outcome:
    return run(Job(load_territory("besancon"), settings, Policy(mirror=str(mirror))))


def made_up_iris(names: Path, communes: Path) -> str:
    """Cut Besançon into strips from west to east, one for each of its IRIS."""
    document = json.loads(communes.read_text(encoding="utf-8"))
    (shape,) = (f["geometry"] for f in document["features"] if f["properties"]["code"] == "25056")
    besancon = shapely.geometry.shape(shape)
    west, south, east, north = besancon.bounds
    rows = list(csv.DictReader(names.read_text("utf-8-sig").splitlines(), delimiter=";"))
    width = (east - west) / len(rows)
    features = [
        {
            "type": "Feature",
            "properties": {
                "code_insee": row["DEPCOM"],
                "nom_commune": row["LIBCOM"],
                "iris": row["CODE_IRIS"][5:],
                "code_iris": row["CODE_IRIS"],
                "nom_iris": row["LIB_IRIS"],
                "type_iris": row["TYP_IRIS"],
            },
            "geometry": shapely.geometry.mapping(
                shapely.box(west + n * width, south, west + (n + 1) * width, north)
            ),
        }
        for n, row in enumerate(rows)
    ]
    return json.dumps({"type": "FeatureCollection", "features": features})


def test_insee_s_own_archive_by_iris(
    own_mirror: Path, mirror: Path, formats: Path, settings: Settings
) -> None:
    """52 IRIS, every cell INSEE's: the shapes are made up, for want of the true ones."""
    target = own_mirror / "ign" / "iris" / "25056.geojson"
    target.parent.mkdir(parents=True)
    communes = mirror / "geo-api" / "epcis" / "242500361" / "communes.geojson"
    target.write_text(made_up_iris(formats / "iris_besancon_names.csv", communes), encoding="utf-8")
    release = Database(refresh(own_mirror, settings))
    assert release.row("SELECT COUNT(*) FROM iris") == (52,)
    found = {
        (code, column): (value, status, remark)
        for code, column, value, status, remark in release.rows(
            "SELECT code, code_producteur, valeur, statut, remarque FROM statistiques WHERE zone = 'iris'"
        )
    }
    with zipfile.ZipFile(mirror / "insee" / "BASE_TD_FILO_IRIS_2021_DISP_CSV.zip") as archive:
        text = archive.read("BASE_TD_FILO_IRIS_2021_DISP.csv").decode("utf-8-sig")
    table = [
        row for row in csv.DictReader(io.StringIO(text), delimiter=";") if row["IRIS"].startswith("25056")
    ]
    measures = set(table[0]) - {"IRIS", "DISP_INCERT21", "DISP_NOTE21"}
    marks = {"s": "secret", "ns": "non_significatif", "nd": "non_disponible", "so": "sans_objet"}
    wanted = {
        (row["IRIS"], column): (None, marks[cell])
        if (cell := row[column]) in marks
        else (float(cell.replace(",", ".")), "ok")
        for row in table
        for column in measures
    }
    assert len(table) == 52
    assert len(measures) == 27
    assert {key: cell[:2] for key, cell in found.items()} == wanted
    # A note is a caution: the value stays.
    noted = {row["IRIS"] for row in table if row["DISP_NOTE21"] not in {"0", "so"}}
    assert {code for (code, _), cell in found.items() if cell[2]} == noted


@pytest.mark.parametrize("published", ["mirror"], indirect=True)
def test_a_spoilt_table_stops_nothing_but_itself(
    published: Database, own_mirror: Path, tmp_path: Path
) -> None:
    table = own_mirror / "insee" / "RPLS_01-01-2025_QPV_2024.zip"
    table.unlink()
    table.write_bytes(MAINTENANCE)
    spoilt = Database(refresh(own_mirror, Settings(data_dir=tmp_path / "new")))
    assert spoilt.outcome.release.published
    everything = "SELECT zone, code, indicateur, millesime, valeur, statut, remarque FROM statistiques"
    others = f"{everything} WHERE source <> 'insee_logement_social' ORDER BY 1, 2, 3, 4"
    assert spoilt.rows(others) == published.rows(others)
    assert spoilt.rows(f"{everything} WHERE source = 'insee_logement_social'") == []
    state, reason = spoilt.row("SELECT etat, motif FROM sources WHERE source = 'insee_logement_social'")
    assert state == "écartée"
    assert "an HTML page" in str(reason)
    assert str(own_mirror) not in str(reason)
    (message,) = spoilt.row("SELECT message FROM controles WHERE controle = 'source_ecartee'")
    assert "Parc locatif social" in str(message)
    counts = dict(spoilt.rows("SELECT controle, trouve FROM controles WHERE controle LIKE 'nombre_qpv%'"))
    assert counts["nombre_qpv_metropole"] == "1362"

    # Whoever had the figures does not lose them unseen.
    data = published.path.parents[3]
    held = refresh(own_mirror, Settings(data_dir=data)).release
    assert held.held
    assert not held.published

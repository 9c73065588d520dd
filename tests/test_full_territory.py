"""The whole job on a territory that lacks nothing, cell by cell against figures computed by hand."""

import json
import math
import re
import subprocess
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest

from qpv_geo.audit.compare_figures import compare_statistics
from qpv_geo.audit.mismatches import WrittenLayer
from qpv_geo.audit.originals import Originals
from qpv_geo.audit.verify import verify_release
from qpv_geo.errors import PublicationError
from qpv_geo.formats.fields import published_layers
from qpv_geo.ingest.registry import load_registry
from qpv_geo.pipeline import steps
from qpv_geo.pipeline.job import Job
from qpv_geo.pipeline.one import Outcome, run
from qpv_geo.releases.draft import verify_draft
from qpv_geo.releases.formats import chosen_formats
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import load_catalogue
from qpv_geo.sources.fetch import Policy
from qpv_geo.territory import load_territory
from qpv_geo.typography import typeset
from tests.villeneuve import (
    CARRES,
    CARRES_2015,
    EAST,
    EPCI,
    FRONTIERE,
    GONE_2015,
    GRANDVILLE,
    IDENTIQUE,
    IDENTIQUE_2015,
    MIDDLE,
    PETITBOURG,
    QPV,
    REQUIRED,
    WEST,
    WHOLE_PETITBOURG,
    archive,
    write_mirror,
    write_territory,
)

CONSERVED = 1e-6


@dataclass
class Published:
    """A release, read back from its GeoPackage."""

    outcome: Outcome
    job: Job

    @property
    def path(self) -> Path:
        return self.outcome.release.path

    @property
    def geopackage(self) -> Path:
        return self.path / "qpv_villeneuve.gpkg"

    def layer(self, name: str) -> gpd.GeoDataFrame:
        return pyogrio.read_dataframe(self.geopackage, layer=name)

    @cached_property
    def statistics(self) -> pd.DataFrame:
        return self.layer("statistiques")

    @cached_property
    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads((self.path / "rapport.json").read_text(encoding="utf-8"))
        return report

    def row(self, zone: str, code: str, indicator: str, vintage: str = "") -> dict[str, Any]:
        """Return the one row of a vintage, the newest if none is given; None where there is no value."""
        table = self.statistics
        rows = table[(table["zone"] == zone) & (table["code"] == code) & (table["indicateur"] == indicator)]
        rows = rows[rows["millesime"] == (vintage or rows["millesime"].max())]
        assert len(rows) == 1, (zone, code, indicator, len(rows))
        found: dict[str, Any] = rows.astype(object).where(rows.notna(), None).iloc[0].to_dict()
        return found

    def cell(self, zone: str, code: str, indicator: str, vintage: str = "") -> tuple[float | None, str]:
        """Return the one value, None where there is none, and its status."""
        found = self.row(zone, code, indicator, vintage)
        return found["valeur"], found["statut"]

    @property
    def absent(self) -> set[str]:
        """Ids of the sources that the report says are absent; a second choice not needed is none."""
        named = self.report["sources_absentes"]
        return {entry["source"].partition("-")[0] for entry in named if entry["etat"] == "absente"}

    def checks(self, code: str) -> dict[str, dict[str, str]]:
        return {check["objet"]: check for check in self.report["controles"] if check["controle"] == code}


def publish(folder: Path, *, only: tuple[str, ...] | None = None) -> Published:
    """Write the official files and the territory's own, and do the whole job on them."""
    territory = load_territory(str(write_territory(folder, files=only is None)))
    mirror = write_mirror(folder / "mirror", only=only)
    settings = Settings(data_dir=folder / "data")
    job = Job(territory, settings, Policy(mirror=str(mirror)))
    return Published(run(job), job)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return publish(tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """The release of what is required alone."""
    return publish(tmp_path_factory.mktemp("bare"), only=REQUIRED)


def test_what_was_joined_wrongly_is_not_published(full: Published, tmp_path: Path) -> None:
    """The files hold what the layers hold: the raw files alone tell."""
    job = replace(full.job, settings=Settings(data_dir=tmp_path), formats=chosen_formats(pages=False))
    spec = job.spec(full.outcome.raws)
    joined = steps.join(steps.read(spec), spec)
    wrong = {
        ("apl", "valeur"): 9.9,
        ("equipements_lieux", "nombre"): 77,
        ("offre_soins_lieux", "precision"): "commune",
        ("etablissements_finess", "rs"): "AUTRE NOM",
    }
    for (layer, field), value in wrong.items():
        frame = joined.layers[layer]
        frame.loc[frame.index[0], field] = value
    draft = steps.write(joined)
    with pytest.raises(PublicationError) as caught:
        verify_draft(draft)
    for layer, field in wrong:
        assert re.search(rf"layer {layer}, row [^\n]*, field {field}: published", str(caught.value)), layer


def test_every_source_is_read_and_every_layer_is_filled(full: Published) -> None:
    assert [key for key, raw in full.outcome.raws.items() if raw is None] == []
    assert full.absent == set()
    assert full.report["couches_absentes"] == []
    declared = set(published_layers(load_registry()))
    held = dict(pyogrio.list_layers(full.geopackage))
    assert declared <= set(held)
    for name in declared:
        frame = full.layer(name)
        assert len(frame), name
        if held[name]:
            # The fragile district of which nobody gave a contour, and the establishment without a position.
            undrawn = 1 if name in {"quartiers_fragiles", "etablissements_finess"} else 0
            assert frame.geometry.isna().sum() == undrawn, name
            assert frame.crs == 2154
    assert verify_release(full.path) == []


def test_no_file_names_a_folder_of_this_machine(full: Published) -> None:
    folder = full.outcome.release.path.parents[3].as_posix().encode()
    contents = {path.name: path.read_bytes() for path in full.path.rglob("*") if path.is_file()}
    with zipfile.ZipFile(full.path / "qpv_villeneuve.qgz") as project:
        contents |= {name: project.read(name) for name in project.namelist()}
    assert any(name.endswith(".qgs") for name in contents)
    assert [name for name, content in contents.items() if folder in content] == []


def test_ogrinfo_lists_every_layer(full: Published) -> None:
    command = ["ogrinfo", "-ro", "-so", "-al", str(full.geopackage)]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        pytest.skip("needs ogrinfo: install gdal-bin")
    shown = dict(pair.split("\n", 1) for pair in listed.stdout.split("Layer name: ")[1:])
    for name in published_layers(load_registry()):
        assert f"Feature Count: {len(full.layer(name))}\n" in shown[name]


@pytest.mark.parametrize("pieces", ["qpv_commune", "qpv_iris"])
def test_pieces_add_up_to_each_qpv(full: Published, pieces: str) -> None:
    whole = full.layer("qpv").set_index("code_qp").area
    frame = full.layer(pieces)
    published, drawn = frame.groupby("code_qp")["surface_m2"].sum(), frame.dissolve("code_qp").area
    assert drawn[list(QPV)].tolist() == pytest.approx(whole[list(QPV)].tolist(), rel=CONSERVED)
    # Each is published to a tenth of a square metre.
    assert published[list(QPV)].tolist() == pytest.approx(whole[list(QPV)].tolist(), abs=0.05 * len(frame))


def test_measures_are_those_of_the_published_geometries(full: Published) -> None:
    measured = 0
    for name in ("qpv", "communes", "epci", "qpv_commune", "qpv_iris", "evolution_2015_2024"):
        layer = full.layer(name)
        for field, measure in (("surface_m2", layer.area), ("perimetre_m", layer.length)):
            if field in layer:
                measured += 1
                # Published to a tenth.
                assert layer[field].tolist() == pytest.approx(measure.tolist(), abs=0.0501), (name, field)
    assert measured >= len(("qpv", "qpv", "communes", "epci", "qpv_commune", "qpv_iris"))


def test_what_was_kept_came_and_left_adds_up(full: Published) -> None:
    pieces = full.layer("evolution_2015_2024")
    pieces["measured"] = pieces.area
    new = pieces[pieces["nature"].isin(["conserve", "entrant"])].groupby("code_qp")["measured"].sum()
    old = pieces[pieces["nature"].isin(["conserve", "sortant"])].groupby("code_qp_2015")["measured"].sum()
    for total, layer in ((new, "qpv"), (old, "qpv_2015")):
        whole = full.layer(layer).set_index("code_qp").area
        assert total.to_dict() == pytest.approx(whole.to_dict(), rel=CONSERVED)


def test_bands_are_what_lies_within_their_distance_and_not_in_the_qpv(full: Published) -> None:
    qpv = full.layer("qpv").set_index("code_qp").geometry
    bands = full.layer("bande_300m").set_index("code_qp")
    assert bands["distance_m"].to_dict() == {CARRES: 500, FRONTIERE: 300, IDENTIQUE: 300}
    for code, shape in qpv.items():
        band = bands.geometry[code]
        # Arcs are drawn 5 mm inside the true ones at most.
        exact = shape.buffer(bands.loc[code, "distance_m"], quad_segs=2000).difference(shape)
        assert band.symmetric_difference(exact).area < 0.005 * exact.length
        assert band.intersection(shape).area < CONSERVED * shape.area
        assert band.union(shape).area == pytest.approx(band.area + shape.area, rel=CONSERVED)


# Zone, code, indicator; value and status, with the arithmetic.
CELLS: Mapping[str, tuple[tuple[str, ...], tuple[float | None, str]]] = {
    "a sum of populations": (("qpv_epci", EPCI, "population_municipale"), (3000 + 800 + 700, "ok")),
    "a ratio of sums, 54.4 if rates were averaged": (
        ("qpv_epci", EPCI, "part_femmes_demandeurs_emploi"),
        (100 * (100 + 30 + 8) / (200 + 90 + 10), "ok"),
    ),
    "C2S among the insured": (
        ("qpv_epci", EPCI, "part_c2s_non_participative"),
        (100 * (1100 + 150 + 90) / (2800 + 700 + 650), "ok"),
    ),
    "a value that INSEE keeps secret": (("qpv", IDENTIQUE, "taux_pauvrete_60"), (None, "secret")),
    "a sum that lacks a secret part": (("qpv_epci", EPCI, "allocataires_rsa_socle"), (None, "secret")),
    "a ratio that lacks it": (("qpv_epci", EPCI, "part_allocataires_rsa_socle"), (None, "secret")),
    "a ratio of one QPV, from counts": (
        ("qpv", CARRES, "part_allocataires_rsa_socle"),
        (100 * 300 / 900, "ok"),
    ),
    "a ratio of one QPV whose numerator is secret": (
        ("qpv", IDENTIQUE, "part_allocataires_rsa_socle"),
        (None, "secret"),
    ),
    "a ratio of one commune": (
        ("commune", GRANDVILLE, "part_population_qpv"),
        (100 * 4100 / 12_000, "ok"),
    ),
    "a ratio of one IRIS": (("iris", WEST, "taux_chomage_recensement"), (100 * 130 / 1300, "ok")),
    "a ratio of one IRIS, terms of two files": (
        ("iris", WEST, "taux_scolarisation_18_24_ans"),
        (100 * 100.5 / 200, "ok"),
    ),
    "a ratio of one IRIS, secret": (("iris", MIDDLE, "part_familles_monoparentales"), (None, "secret")),
    "a producer's ratio beside no terms": (("qpv", CARRES, "part_familles_monoparentales"), (40.5, "ok")),
    "a share that is not significant": (
        ("qpv", FRONTIERE, "part_familles_monoparentales"),
        (None, "non_significatif"),
    ),
    "zero, which is a value": (("qpv", IDENTIQUE, "logements_sociaux"), (0, "ok")),
    "not available, which is not zero": (
        ("qpv", IDENTIQUE, "loyer_median_logements_sociaux"),
        (None, "non_disponible"),
    ),
    "a decimal comma in a file of Windows-1252": (("qpv", CARRES, "taux_emploi"), (38.1, "ok")),
    "a sum of two shares of one whole": (("qpv", CARRES, "part_diplome_inferieur_bac"), (69.5, "ok")),
    "a sum that lacks one of them": (
        ("qpv", IDENTIQUE, "part_diplome_inferieur_bac"),
        (None, "imprecis"),
    ),
    "a sum for the QPV that INSEE takes together": (
        ("ensemble_qpv_epci", EPCI, "part_diplome_inferieur_bac"),
        (62.1, "ok"),
    ),
    "shares are not added over zones": (
        ("qpv_epci", EPCI, "part_diplome_inferieur_bac"),
        (None, "non_calculable"),
    ),
    "a median is not added": (("qpv_epci", EPCI, "niveau_vie_median"), (None, "non_calculable")),
    "a rate without its terms is not averaged": (
        ("qpv_epci", EPCI, "taux_pauvrete_60"),
        (None, "non_calculable"),
    ),
    "the producer's row of the EPCI": (("epci", EPCI, "taux_pauvrete_60"), (15.5, "ok")),
    "the producer's row of all QPV": (("ensemble_qpv", "00", "niveau_vie_median"), (14_220, "ok")),
    "the producer's row of a commune": (("commune", GRANDVILLE, "taux_emploi"), (61.3, "ok")),
    "of two sources that hold the communes, the one that is declared": (
        ("commune", GRANDVILLE, "taux_pauvrete_60"),
        (18, "ok"),
    ),
    "a commune without value": (
        ("commune", PETITBOURG, "niveau_vie_median", "2021"),
        (None, "non_disponible"),
    ),
    "a commune whose value is secret": (("commune", PETITBOURG, "taux_pauvrete_60"), (None, "secret")),
    "the newer long table": (("commune", GRANDVILLE, "niveau_vie_median"), (22500, "ok")),
    "a value that the long table says is confidential": (
        ("commune", PETITBOURG, "niveau_vie_median"),
        (None, "secret"),
    ),
    "the QPV of the EPCI, as INSEE takes them together": (
        ("ensemble_qpv_epci", EPCI, "taux_emploi"),
        (44, "ok"),
    ),
    "the QPV of the department": (("ensemble_qpv_departement", "25", "taux_emploi"), (41.4, "ok")),
    "the QPV of the region": (("ensemble_qpv_region", "27", "taux_emploi"), (42.2, "ok")),
    "all QPV, below the regions": (("ensemble_qpv", "00", "taux_emploi"), (47, "ok")),
    "a column that the registry does not know": (("qpv", CARRES, "tx_ecran"), (12.5, "ok")),
    "an IRIS to be read with care": (("iris", MIDDLE, "taux_pauvrete_60"), (28, "ok")),
    "an IRIS that Filosofi lacks": (("iris", WHOLE_PETITBOURG, "taux_pauvrete_60"), (None, "non_disponible")),
    "a set of IRIS: exact sum": (("quartier", "Couchant", "population"), (2600 + 3400, "ok")),
    "a set of IRIS: ratio of sums, 15 if rates were averaged": (
        ("quartier", "Couchant", "taux_chomage_recensement"),
        (100 * (130 + 340) / (1300 + 1700), "ok"),
    ),
    "a set of IRIS: terms of two files": (
        ("quartier", "Couchant", "taux_scolarisation_18_24_ans"),
        (100 * (100.5 + 300) / (200 + 500), "ok"),
    ),
    "a set of IRIS, one of them secret": (
        ("quartier", "Couchant", "familles_monoparentales"),
        (None, "secret"),
    ),
    "a set of IRIS: no median": (("quartier", "Couchant", "niveau_vie_median"), (None, "non_calculable")),
    # The contour takes 600 x 1,000 m of the 26 km² of one IRIS, 2,000 x 1,000 m of the 34 km² of the next.
    "a contour: counts by area": (
        ("quartier", "Centre", "population"),
        (2600 * 0.6 / 26 + 3400 * 2 / 34, "estimation"),
    ),
    "a contour: ratio of estimates": (
        ("quartier", "Centre", "taux_chomage_recensement"),
        (100 * (130 * 0.6 / 26 + 340 * 2 / 34) / (1300 * 0.6 / 26 + 1700 * 2 / 34), "estimation"),
    ),
    "a contour: no median": (("quartier", "Centre", "niveau_vie_median"), (None, "non_calculable")),
    # 400 x 500 m of the 40 km² of its IRIS.
    "a fragile district": (
        ("quartier_fragile", "Cité de l'Étang", "population"),
        (4000 * 0.2 / 40, "estimation"),
    ),
}


@pytest.mark.parametrize("name", CELLS)
def test_cells_of_the_statistics(full: Published, name: str) -> None:
    place, (value, status) = CELLS[name]
    found, found_status = full.cell(*place)
    assert found_status == status
    # What is computed here has two decimals.
    assert found == (None if value is None else pytest.approx(value, abs=0.00501))


def row(frame: pd.DataFrame, **key: object) -> pd.Series:
    """Return the only row with these values."""
    kept = frame[np.logical_and.reduce([frame[name] == value for name, value in key.items()])]
    assert len(kept) == 1, key
    return kept.iloc[0]


def test_cells_of_the_pieces(full: Published) -> None:
    frontier = row(full.layer("qpv_commune"), code_qp=FRONTIERE, insee_com=PETITBOURG)
    # 400 x 400 m of 1,000 x 400 m, and of 100 km².
    assert frontier["surface_m2"] == pytest.approx(160_000)
    assert frontier["part_qpv"] == pytest.approx(40)
    assert frontier["part_commune"] == pytest.approx(0.16)

    west = row(full.layer("qpv_iris"), code_qp=CARRES, code_iris=WEST)
    # 600 x 1,000 m of a square kilometre, and of 2.6 x 10 km.
    assert west["surface_m2"] == pytest.approx(600_000)
    assert west["part_qpv"] == pytest.approx(60)
    assert west["part_iris"] == pytest.approx(100 * 0.6 / 26, abs=0.005)
    assert row(full.layer("iris"), code_iris=EAST)["nb_qpv"] == 2


def test_cells_of_the_bands(full: Published) -> None:
    bands = full.layer("bande_300m")
    # Sides times distance, and the four quarters of a disc; 5 mm are left out of the arcs at most.
    hectometres = {CARRES: (4000, 500), FRONTIERE: (2800, 300), IDENTIQUE: (2000, 300)}
    for code, (perimeter, distance) in hectometres.items():
        band = row(bands, code_qp=code)
        expected = perimeter * distance + math.pi * distance**2
        assert band["surface_m2"] == pytest.approx(expected, abs=0.005 * 2 * math.pi * distance)
        assert bool(band["npnru"]) is (code == CARRES)
    fragile = row(full.layer("bande_quartiers_fragiles"), nom="Cité de l'Étang")
    assert fragile["surface_m2"] == pytest.approx(1800 * 300 + math.pi * 300**2, abs=10)


def test_cells_of_the_districts(full: Published) -> None:
    districts = full.layer("quartiers")
    by_iris, by_contour = row(districts, nom="Couchant"), row(districts, nom="Centre")
    assert (by_iris["mode"], by_iris["nb_iris"]) == ("iris", 2)
    assert by_iris["surface_m2"] == pytest.approx(26e6 + 34e6)
    assert (by_contour["mode"], by_contour["nb_iris"]) == ("contour", 2)
    assert by_contour["surface_m2"] == pytest.approx(2600 * 1000)
    fragile = full.layer("quartiers_fragiles").set_index("nom")
    assert fragile["contour"].to_dict() == {"Cité de l'Étang": True, "Cité du Bois": False}
    assert fragile.loc["Cité de l'Étang", "surface_m2"] == pytest.approx(400 * 500)
    estimated = full.statistics[full.statistics["zone"] == "quartier_fragile"]
    assert set(estimated["code"]) == {"Cité de l'Étang"}
    assert "ok" not in set(estimated["statut"])


def test_cells_of_the_facilities(full: Published) -> None:
    table = full.layer("equipements")
    near = {"code_qp": CARRES, "type_equipement": "D307"}
    assert row(table, perimetre="qpv", **near)["nombre"] == 1
    # At 400 m, and 353 m beyond the corner each way, which is 499.2 m; not at 600 m, nor at 500.6 m.
    assert row(table, perimetre="500m", **near)["nombre"] == 1 + 2
    elsewhere = row(table, perimetre="500m", code_qp=IDENTIQUE, type_equipement="D307")
    assert (elsewhere["nombre"], elsewhere["statut"]) == (0, "ok")
    doctors = row(table, perimetre="qpv", code_qp=CARRES, type_equipement="D265")
    assert (doctors["nombre"], doctors["non_localises"], doctors["millesime"]) == (0, 1, "2025")


def test_cells_of_the_apl(full: Published) -> None:
    doctors = full.layer("apl").query("profession == 'medecins_generalistes'")
    petitbourg = row(doctors, code=PETITBOURG, millesime="2024")
    assert (petitbourg["valeur"], petitbourg["statut"]) == (2, "ok")
    assert (petitbourg["rang"], petitbourg["rang_sur"]) == (3, 3)
    assert row(doctors, code=PETITBOURG, millesime="2023")["statut"] == "secret"
    department, country = (row(doctors, zone=zone, millesime="2024") for zone in ("departement", "france"))
    assert (department["code"], department["nom"]) == ("25", "Département")
    assert (department["valeur"], department["statut"]) == (pytest.approx(3.65), "estimation")
    assert country["valeur"] == pytest.approx(3.72)
    check = full.checks("apl_communes")["drees_apl_medecins_generalistes"]
    assert "25903 (Hameau)" in check["message"]


def test_cells_of_the_accessibility(full: Published) -> None:
    dentists = full.layer("accessibilite").query("profession == 'dentistes'")
    # One dentist: 704 m from the middle of La Frontière, 2,606 m from that of the 4,000 people of the East,
    # 4,400 m from that of the 1,000 people of Petitbourg.
    share = 100_000 / (4000 * 0.68 + 1000 * 0.22)
    frontier = row(dentists, code=FRONTIERE)
    assert (frontier["valeur"], frontier["statut"]) == (pytest.approx(share, abs=0.05), "estimation")
    # Nobody of Petitbourg is within 3 km; without decay all 5,000 are alike.
    assert frontier["borne_basse"] == pytest.approx(100_000 / 5000, abs=0.05)
    assert frontier["borne_haute"] == pytest.approx(100_000 / (4000 * 0.22), abs=0.05)
    grandville = row(dentists, code=GRANDVILLE)
    assert grandville["valeur"] == pytest.approx(0.68 * share * 4000 / 10_000, abs=0.05)
    assert row(dentists, code=PETITBOURG)["valeur"] == pytest.approx(0.22 * share, abs=0.05)
    assert grandville["population"] == "IRIS de 2 communes (2022)"
    compared = full.checks("accessibilite_et_apl")["dentistes"]
    assert (compared["resultat"], compared["trouve"]) == ("non_verifiable", "2 communes")


def test_cells_of_the_establishments(full: Published) -> None:
    table = full.layer("etablissements_finess").set_index("nofinesset")
    pharmacy, service = table.loc["990000017"], table.loc["990000025"]
    assert (pharmacy["code_qp"], pharmacy["insee_com"], pharmacy["millesime"]) == (
        CARRES,
        GRANDVILLE,
        "2026-05-12",
    )
    assert (pharmacy["rapprochement"], pharmacy["type_equipement"]) == ("rapproché", "D307")
    assert pharmacy["distance_bpe_m"] == 20
    assert service["rapprochement"] == "sans type comparable"
    assert service.geometry is None


def test_every_disagreement_of_two_producers_is_a_row(full: Published) -> None:
    table = full.layer("concordances")
    apart = table[(table["resultat"] == "diverge") & table["objet"].isin(QPV)]
    found = apart[["theme", "objet", "source_a", "valeur_a", "valeur_b"]]
    assert set(found.itertuples(index=False, name=None)) == {
        ("Population", CARRES, "Présentation du Contrat de ville", "2990", "3000"),
        ("Taux de pauvreté", CARRES, "Présentation du Contrat de ville", "50", "52,5"),
        ("Part des familles monoparentales", CARRES, "Présentation du Contrat de ville", "38", "40,5"),
        ("Communes", IDENTIQUE, "listeqp_2025", PETITBOURG, f"{GRANDVILLE} Grandville (100,0 %)"),
        ("Équipements", CARRES, "bpe", "3", "2"),
        ("Statut depuis 2015", FRONTIERE, "correspondance_2024_2015", "MODIFIE", "N"),
    }
    counts = table[table["objet"] == EPCI].set_index(["theme", "source_a"])["valeur_b"]
    assert counts["Communes", "listeqp_2025"] == "2 concordent"
    assert counts["Communes", "qpv_2024"] == counts["EPCI", "listeqp_2025"] == "3 concordent"
    pairs = full.layer("correspondance_2015").set_index("code_qp")["code_qp_2015"]
    assert pairs.to_dict() == {CARRES: CARRES_2015, FRONTIERE: GONE_2015, IDENTIQUE: IDENTIQUE_2015}
    assert {entry["objet"] for entry in full.report["concordances"]} == set(table["objet"])


def test_cells_of_the_contract(full: Published) -> None:
    table = full.layer("contrat_de_ville")
    ours = ["valeur_contrat", "valeur_insee", "ecart"]
    population = row(table, code_qp=CARRES, indicateur="population_municipale")
    assert population[ours].tolist() == [2990, 3000, 10]
    poverty = row(table, code_qp=CARRES, indicateur="taux_pauvrete_60")
    assert poverty[ours].tolist() == [50, 52.5, 2.5]
    assert (poverty["millesime_insee"], poverty["statut_insee"]) == ("2021", "ok")
    families = row(table, code_qp=CARRES, indicateur="part_familles_monoparentales")
    assert families[ours].tolist() == [38, 40.5, 2.5]


def test_cells_of_the_evolution(full: Published) -> None:
    qpv = full.layer("qpv").set_index("code_qp")
    # 800 x 1,000 m of a square kilometre were a QPV in 2015.
    assert qpv["part_conservee_2015"].to_dict() == pytest.approx({CARRES: 80, FRONTIERE: 0, IDENTIQUE: 100})
    assert qpv.loc[CARRES, "predecesseurs_2015"] == f"{CARRES_2015} (80,0 %)"
    pieces = full.layer("evolution_2015_2024")
    assert row(pieces, nature="sortant", code_qp_2015=CARRES_2015)["surface_m2"] == pytest.approx(200_000)
    assert row(pieces, nature="entrant", code_qp=CARRES)["part_2024"] == pytest.approx(20)
    old = full.layer("qpv_2015").set_index("code_qp")
    assert old["sorti"].to_dict() == {CARRES_2015: False, IDENTIQUE_2015: False, GONE_2015: True}
    assert old.loc[GONE_2015, "part_conservee"] == 0

    letters = {code: check["resultat"] for code, check in full.checks("lettre_du_code").items()}
    assert letters == dict.fromkeys(QPV, "conforme")
    table = {code: check["resultat"] for code, check in full.checks("table_de_correspondance").items()}
    # The table says that the one came from the other; their contours are five kilometres apart.
    assert {code for code, outcome in table.items() if outcome == "avertissement"} == {FRONTIERE, GONE_2015}


def test_a_name_does_not_carry_anything_from_one_geography_to_the_other(full: Published) -> None:
    old = full.layer("qpv_2015")
    qpv = full.layer("qpv").set_index("code_qp")
    assert row(old, code_qp=GONE_2015)["nom_qp"] == qpv.loc[FRONTIERE, "lib_qp"]
    assert pd.isna(qpv.loc[FRONTIERE, "predecesseurs_2015"])
    assert not {indicator.id for indicator in load_registry().indicators} & set(old.columns)
    statistics = full.statistics
    assert set(statistics.loc[statistics["zone"] == "qpv", "code"]) == set(QPV)
    assert not statistics["code"].str.startswith("QP0").any()
    by_zone = (
        statistics.groupby("zone")["geographie"]
        .unique()
        .map(lambda days: {f"{d:%Y}" for d in days if pd.notna(d)})
    )
    assert by_zone["qpv"] == {"2024"}
    assert by_zone["iris"] == {"2022", "2024"}
    # Filosofi's IRIS are those of 2022, the contours those of 2024: joined by code, and said.
    assert full.checks("geographie_des_iris")["iris_filosofi"]["resultat"] == "avertissement"
    assert full.checks("geographie_des_iris")["iris_population"]["resultat"] == "conforme"


# Estimate, status and bounds of the census of 2020.
INTERVALS: Mapping[tuple[str, str], tuple[float | None, str, float | None, float | None]] = {
    (CARRES, "part_familles_monoparentales"): (39.5, "ok", 37, 42),
    # The interval stands where the estimate is withheld.
    (FRONTIERE, "part_familles_monoparentales"): (None, "imprecis", 20.1, 51.3),
    (IDENTIQUE, "part_familles_monoparentales"): (None, "imprecis", None, None),
    # The column whose code is spoilt in the table of intervals.
    (CARRES, "indice_jeunesse"): (1.9, "ok", 1.8, 2),
    (FRONTIERE, "indice_jeunesse"): (None, "imprecis", None, None),
    (IDENTIQUE, "indice_jeunesse"): (1.2, "ok", None, None),
}


@pytest.mark.parametrize(("code", "indicator"), INTERVALS)
def test_intervals_of_the_older_census(full: Published, code: str, indicator: str) -> None:
    found = full.row("qpv", code, indicator, "2020")
    fields = ("valeur", "statut", "borne_basse", "borne_haute")
    assert tuple(found[field] for field in fields) == INTERVALS[code, indicator]


@pytest.mark.parametrize(
    ("place", "field", "wrong"),
    [
        (("qpv", CARRES, "part_familles_monoparentales", "2020"), "borne_basse", 37.1),
        (("qpv", FRONTIERE, "part_familles_monoparentales", "2020"), "borne_haute", np.nan),
        (("qpv", FRONTIERE, "part_familles_monoparentales", "2020"), "statut", "non_disponible"),
        (("qpv", IDENTIQUE, "indice_jeunesse", "2020"), "borne_basse", 0.5),
        (("iris", MIDDLE, "taux_pauvrete_60", "2021"), "remarque", None),
        (("iris", WEST, "taux_pauvrete_60", "2021"), "remarque", "DISP_NOTE21 = 1"),
        (("ensemble_qpv_epci", EPCI, "taux_emploi", "2020"), "valeur", 44.1),
        (("ensemble_qpv_region", "27", "taux_emploi", "2020"), "valeur", 47.0),
        (("ensemble_qpv", "00", "taux_emploi", "2020"), "valeur", 42.2),
        (("commune", PETITBOURG, "niveau_vie_median", "2023"), "statut", "non_disponible"),
        (("commune", GRANDVILLE, "niveau_vie_median", "2023"), "valeur", 22501.0),
    ],
)
def test_each_published_cell_is_held_to_the_producer_s(
    full: Published, place: tuple[str, ...], field: str, wrong: object
) -> None:
    raws = full.outcome.raws
    table = full.statistics.copy()
    key = pd.MultiIndex.from_frame(table[["zone", "code", "indicateur", "millesime"]])
    (row,) = np.flatnonzero(key == place)
    qpv = WrittenLayer(full.geopackage, "qpv", full.layer("qpv"))
    originals = Originals(raws, set(table["code"]), Settings())
    published = {"statistiques": WrittenLayer(full.geopackage, "statistiques", table), "qpv": qpv}
    assert compare_statistics(published, originals, load_registry()) == []
    table.loc[row, field] = wrong
    (mismatch,) = compare_statistics(published, originals, load_registry())
    assert (mismatch.row, mismatch.field) == (" / ".join(place), field)


def test_one_census_at_a_time(full: Published) -> None:
    qpv = full.layer("qpv").set_index("code_qp")
    shown = ["part_familles_monoparentales", "part_familles_monoparentales_statut"]
    assert set(qpv["part_familles_monoparentales_millesime"]) == {"2022"}
    assert qpv.loc[CARRES, shown].tolist() == [40.5, "ok"]
    # Its reason stands, not the value of another census.
    assert qpv.loc[FRONTIERE, shown[1]] == "non_significatif"
    # The newer one has no such column.
    assert set(qpv["indice_jeunesse_millesime"]) == {"2020"}
    assert qpv["indice_jeunesse_statut"].to_dict() == {CARRES: "ok", FRONTIERE: "imprecis", IDENTIQUE: "ok"}


def test_a_caution_stands_beside_its_value(full: Published) -> None:
    assert full.row("iris", MIDDLE, "taux_pauvrete_60")["remarque"].startswith("DISP_NOTE21 = 1 : ")
    assert full.row("iris", WEST, "taux_pauvrete_60")["remarque"] is None


def test_statistics_of_2015_in_a_file_of_2024_are_left_out(tmp_path: Path) -> None:
    territory = load_territory(str(write_territory(tmp_path)))
    mirror = write_mirror(tmp_path / "mirror")
    rows = [["CODGEO", "A", "ARSAS"], [CARRES_2015, "900", "300"], [FRONTIERE, "200", "40"]]
    archive(mirror / "insee/beneficiaires_CAF_31-12-2024_QP24.zip", "caf", {"QP": rows})
    job = Job(territory, Settings(data_dir=tmp_path / "data"), Policy(mirror=str(mirror)))
    published = Published(run(job), job)
    (left_out,) = published.checks("source_ecartee").values()
    assert f"{CARRES_2015}' (2015 geography in place of 2024)" in left_out["message"]
    assert left_out["objet"] == "insee_caf"
    sources = published.layer("sources").set_index("source")["etat"]
    assert sources["insee_caf"] == "écartée"
    assert set(sources.drop("insee_caf")) == {"lue", "sans objet"}
    assert not (published.statistics["source"] == "insee_caf").any()
    assert published.cell("qpv", CARRES, "population_municipale") == (3000, "ok")


def test_both_main_communes_have_their_iris(full: Published) -> None:
    assert {"iris-25901", "iris-25902"} <= set(full.outcome.raws)
    assert full.layer("iris")["insee_com"].value_counts().to_dict() == {GRANDVILLE: 3, PETITBOURG: 1}
    named = {source["source"] for source in full.report["sources"]}
    assert {"iris-25901", "iris-25902"} <= named
    # The rows of the country's other IRIS are not the territory's.
    of_iris = full.statistics[full.statistics["zone"] == "iris"]
    assert set(of_iris["code"]) == {WEST, MIDDLE, EAST, WHOLE_PETITBOURG}


def test_the_report_names_each_column_beyond_the_registry_and_each_that_it_misses(full: Published) -> None:
    unknown = {entry["code_producteur"]: entry["libelle"] for entry in full.report["indicateurs_inconnus"]}
    assert {code: label or "" for code, label in unknown.items()} == {
        "TX_ECRAN": "Part des foyers équipés d'un écran (%)",
        "nbPresents": "",
        "nbAdmis": "",
        "TP6021": "",
        "MED21": "",
    }
    missing = {entry["indicateur"] for entry in full.report["indicateurs_manquants"]}
    assert {"niveau_vie_d9", "assures_regime_general"} - missing == {"assures_regime_general"}
    entry = row(full.layer("indicateurs"), indicateur="tx_ecran")
    assert (entry["theme"], entry["libelle"]) == (
        "Hors registre",
        "Part des foyers équipés d'un écran (%)",
    )


def test_every_value_leads_to_its_file(full: Published) -> None:
    sources = full.layer("sources").set_index("source")
    read = sources[sources["etat"] == "lue"]
    assert read["sha256"].str.fullmatch(r"[0-9a-f]{64}").all()
    named = {source for cell in full.statistics["source"] for source in cell.split(", ")}
    assert named <= set(read.index)
    assert full.statistics["fichier"].notna().all()
    assert set(full.statistics["statut"]) == {
        "ok",
        "secret",
        "imprecis",
        "non_disponible",
        "non_significatif",
        "non_calculable",
        "estimation",
    }
    valued = full.statistics["statut"].isin(["ok", "estimation"])
    assert full.statistics["valeur"].notna().eq(valued).all()


def test_the_report_names_each_source_that_is_absent(bare: Published) -> None:
    used = {source.id for source in load_catalogue().used()}
    # Files that the territory does not declare, and a second choice that was not needed.
    not_wanted = {"quartiers_fichier", "quartiers_fragiles_fichier", "communes_france"}
    assert bare.absent == used - set(REQUIRED) - not_wanted
    page = (bare.path / "rapport.html").read_text(encoding="utf-8")
    titles = {source.title.split(" (")[0] for source in load_catalogue().used() if source.id in bare.absent}
    assert [title for title in titles if typeset(title) not in page] == []
    sources = bare.layer("sources").set_index("source")
    assert sources.loc["bpe", "etat"] == "absente"
    assert "facultative" in sources.loc["bpe", "motif"]
    left_out = {layer["nom"] for layer in bare.report["couches_absentes"]}
    assert left_out == {
        "correspondance_2015",
        "iris",
        "qpv_iris",
        "qpv_2015",
        "evolution_2015_2024",
        "quartiers",
        "bande_quartiers_fragiles",
        "equipements",
        "equipements_lieux",
        "offre_soins",
        "offre_soins_lieux",
        "apl",
        "accessibilite",
        "etablissements_finess",
        "fond_batiments",
        "fond_routes",
        "fond_voies_ferrees",
        "fond_eau",
        "fond_vegetation",
    }
    index = bare.checks("accessibilite_calculee")["villeneuve"]
    assert "la base permanente des équipements n'a pas été lue" in index["message"]
    assert "Couchant" in bare.checks("quartiers_par_iris")["villeneuve"]["message"]
    fragile = bare.layer("quartiers_fragiles")
    assert len(fragile) == 2
    assert not fragile["contour"].any()

"""What the tests of publication publish: the six QPV of the snapshot, joined by hand, small and complete."""

import csv
import json
import re
import shutil
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from qpv_geo.analysis.concordances import compare_contract, concordances_table
from qpv_geo.checks import Check
from qpv_geo.formats.base import Content, Format, ReleaseSpec
from qpv_geo.formats.fields import Layer, as_held, published_layers
from qpv_geo.formats.frames import Frames, conform
from qpv_geo.formats.provenance import checks_table, sources_table
from qpv_geo.ingest.registry import load_registry
from qpv_geo.releases.draft import publish_draft, verify_draft, write_draft
from qpv_geo.releases.existing import restored_release
from qpv_geo.releases.formats import chosen_formats
from qpv_geo.releases.placement import sweep
from qpv_geo.releases.release import Release
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import load_catalogue
from qpv_geo.sources.raw import RawFile, digest
from qpv_geo.sources.resolve import mirror_paths
from qpv_geo.territory import Territory, load_territory

CATALOGUE = load_catalogue()
REGISTRY = load_registry()
BESANCON = load_territory("besancon")
SNAPSHOT = Path(__file__).parents[1] / "data" / "raw" / "snapshot"

FILES = {
    "qpv_2024": "anct/qpv-2024.geojson",
    "insee_population": "insee/pop_QPV24.csv",
    "insee_filosofi": "insee/revenus_pauvrete_2021_qp24_v2_csv",
    "communes_epci": "geo-api/epcis/242500361/communes.geojson",
}
MARKS = {"s": "secret", "nd": "non_disponible", "ns": "non_significatif", "": "non_disponible"}
CHECKS = (
    Check("qpv_du_territoire", "besancon", "conforme", "6", "6", "6 QPV, comme attendu."),
    Check("communes_du_cog", "besancon", "non_verifiable", "", "", "Code officiel géographique non lu."),
)


def declared() -> dict[str, Layer]:
    """Return the declared layers as these releases hold them: no fragile district has a contour."""
    layers = published_layers(REGISTRY)
    return as_held(layers, {name for name, layer in layers.items() if not layer.geometry_optional})


def raw_file(source_id: str, path: Path, **changes: object) -> RawFile:
    """Return a raw file of the snapshot kind, unless changed."""
    sha256, size = digest(path)
    raw = RawFile(
        source=CATALOGUE[source_id],
        path=path,
        sha256=sha256,
        size=size,
        url=None,
        resolved_url=None,
        etag=None,
        last_modified=None,
        retrieved_at=None,
        origin="snapshot",
        provenance="snapshot",
        reason="site injoignable : délai dépassé",
    )
    return replace(raw, **changes)


def snapshot_raws(folder: Path = SNAPSHOT) -> dict[str, RawFile | None]:
    raws: dict[str, RawFile | None] = {
        source: raw_file(source, folder / path) for source, path in FILES.items()
    }
    return raws | {"cog_epci": None}


def whole_snapshot() -> dict[str, RawFile | None]:
    """Return what a refresh without network reads: every file of the snapshot."""
    raws: dict[str, RawFile | None] = {"cog_epci": None}
    for source in CATALOGUE.used():
        found = (SNAPSHOT / path for path in mirror_paths(source, BESANCON))
        path = next((path for path in found if path.exists()), None)
        if path:
            raws[source.id] = raw_file(source.id, path)
    return raws


def snapshot_copy(folder: Path) -> Path:
    """Copy the snapshot so that a test may change its originals."""
    shutil.copytree(SNAPSHOT, folder)
    return folder


def change(path: Path, old: str, new: str) -> None:
    """Replace one text in an original."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


@dataclass
class Inputs:
    """What `write_draft` takes, to be changed at will by a test."""

    layers: dict[str, pd.DataFrame]
    raws: dict[str, RawFile | None]
    checks: list[Check] = field(default_factory=lambda: list(CHECKS))


def inputs(folder: Path = SNAPSHOT) -> Inputs:
    """Read the snapshot with means of the tests' own and join it."""
    qpv = _qpv(folder)
    communes = _communes(folder)
    statistics = _statistics(folder)
    qpv["population_municipale"] = pd.array(_values(statistics, "population_municipale"), dtype="Int64")
    qpv["population_municipale_statut"] = _values(statistics, "population_municipale", "statut")
    qpv["population_municipale_millesime"] = "2020"
    qpv["taux_pauvrete_60"] = _values(statistics, "taux_pauvrete_60")
    qpv["taux_pauvrete_60_statut"] = _values(statistics, "taux_pauvrete_60", "statut")
    qpv["taux_pauvrete_60_millesime"] = "2021"
    layers = {
        "qpv": qpv,
        "communes": communes,
        "epci": _epci(communes),
        "qpv_commune": _pieces(qpv, communes),
        "statistiques": statistics,
        "indicateurs": _dictionary(),
        "contrat_de_ville": _contract(qpv),
        "quartiers_fragiles": _fragile(),
    }
    compared = compare_contract(BESANCON, layers["contrat_de_ville"], statistics)
    layers["concordances"] = concordances_table(compared, BESANCON)
    return Inputs(completed(layers), snapshot_raws(folder))


def completed(layers: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Add the declared fields that these tests have no use for, without values."""
    for name, layer in layers.items():
        added = {
            field_name: "non_disponible" if field_name.endswith("_statut") else None
            for field_name in declared()[name].fields
            if field_name not in layer
        }
        layers[name] = pd.concat([layer, pd.DataFrame(added, index=layer.index)], axis=1)
    return layers


def inhabitants(originals: Path, figure: int) -> Inputs:
    """Return inputs in which Planoise has so many inhabitants."""
    path = originals / "insee" / "pop_QPV24.csv"
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"(?m)^(QN02503M.*;)\d+", rf"\g<1>{figure}", text), encoding="utf-8")
    assert str(figure) in path.read_text(encoding="utf-8")
    return inputs(originals)


def _qpv(folder: Path) -> gpd.GeoDataFrame:
    qpv = gpd.read_file(folder / FILES["qpv_2024"]).drop(columns="fid").to_crs(2154)
    qpv = qpv.sort_values("code_qp", ignore_index=True)
    qpv["geometry"] = [shapely.MultiPolygon(shapely.get_parts(shape).tolist()) for shape in qpv.geometry]
    return qpv.assign(
        nom_contrat=[None, "Planoise", None, None, None, None],
        insee_com_calcule="25056",
        lib_com_calcule="Besançon",
        siren_epci_calcule="242500361",
        surface_m2=qpv.area,
        perimetre_m=qpv.length,
        ecart_reparation_m2=np.nan,
    )


def _communes(folder: Path) -> gpd.GeoDataFrame:
    raw = json.loads((folder / FILES["communes_epci"]).read_text(encoding="utf-8"))
    shapes = [shapely.geometry.shape(feature["geometry"]) for feature in raw["features"]]
    properties = pd.DataFrame([feature["properties"] for feature in raw["features"]])
    communes = gpd.GeoDataFrame(
        {
            "insee_com": properties["code"],
            "nom_com": properties["nom"],
            "siren_epci": properties["codeEpci"],
            "insee_dep": properties["codeDepartement"],
            "insee_reg": properties["codeRegion"],
            "population": properties["population"].astype("Int64"),
        },
        geometry=[shapely.MultiPolygon(shapely.get_parts(shape).tolist()) for shape in shapes],
        crs=4326,
    ).to_crs(2154)
    communes = communes.sort_values("insee_com", ignore_index=True)
    return communes.assign(
        surface_m2=communes.area,
        ecart_reparation_m2=np.nan,
        nb_qpv=(communes["insee_com"] == "25056").astype("Int64") * 6,
    )


def _epci(communes: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    union = shapely.union_all(communes.geometry.to_numpy())
    return gpd.GeoDataFrame(
        {
            "siren_epci": ["242500361"],
            "nom_epci": ["Grand Besançon Métropole"],
            "nb_communes": [len(communes)],
            "population": [communes["population"].sum()],
            "surface_m2": [union.area],
            "nb_qpv": [6],
        },
        geometry=[union],
        crs=2154,
    )


def _pieces(qpv: gpd.GeoDataFrame, communes: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    besancon = communes.loc[communes["insee_com"] == "25056"].geometry.iloc[0]
    return gpd.GeoDataFrame(
        {
            "code_qp": qpv["code_qp"],
            "lib_qp": qpv["lib_qp"],
            "insee_com": "25056",
            "nom_com": "Besançon",
            "surface_m2": qpv.area,
            "part_qpv": 100.0,
            "part_commune": 100 * qpv.area / besancon.area,
            "membre": True,
            "declare": True,
        },
        geometry=qpv.geometry,
        crs=2154,
    )


def _statistics(folder: Path) -> pd.DataFrame:
    population = folder / FILES["insee_population"]
    poverty = next((folder / FILES["insee_filosofi"]).glob("indic*.csv"))
    tables = (
        (population, "codeQPV", "insee_population", "population_municipale", "popMuniQPV", "2020"),
        (poverty, "CODGEO", "insee_filosofi", "taux_pauvrete_60", "DISP_TP60_A21", "2021"),
    )
    rows = [
        {
            "zone": "qpv",
            "code": cells[key],
            "indicateur": indicator,
            "millesime": vintage,
            "valeur": float("nan") if cells[column] in MARKS else float(cells[column].replace(",", ".")),
            "statut": MARKS.get(cells[column], "ok"),
            "source": source,
            "fichier": path.name,
            "code_producteur": column,
            "geographie": date(2024, 1, 1),
        }
        for path, key, source, indicator, column, vintage in tables
        for cells in csv.DictReader(path.read_text("utf-8-sig").splitlines(), delimiter=";")
    ]
    frame = pd.DataFrame(rows)
    return frame.sort_values(["zone", "code", "indicateur"], ignore_index=True)


def _values(statistics: pd.DataFrame, indicator: str, column: str = "valeur") -> list[Any]:
    rows = statistics[statistics["indicateur"] == indicator].sort_values("code")
    return list(rows[column])


def _dictionary() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "indicateur": indicator.id,
                "theme": indicator.theme,
                "libelle": indicator.label,
                "unite": indicator.unit,
                "nature": "effectif" if indicator.kind == "count" else "taux",
                "additif": indicator.additive,
                "source": indicator.source,
                "codes_producteur": ", ".join(indicator.codes["qpv"]),
            }
            for indicator in REGISTRY.indicators
            if indicator.qpv_layer
        ]
    )


def _contract(qpv: gpd.GeoDataFrame) -> pd.DataFrame:
    assert BESANCON.contrat is not None
    names = dict(zip(qpv["code_qp"], qpv["lib_qp"], strict=True))
    rates = dict(zip(qpv["code_qp"], qpv["taux_pauvrete_60"], strict=True))
    statuses = dict(zip(qpv["code_qp"], qpv["taux_pauvrete_60_statut"], strict=True))
    return pd.DataFrame(
        [
            {
                "code_qp": entry.code_qp,
                "lib_qp": names[entry.code_qp],
                "nom_contrat": entry.nom,
                "indicateur": "taux_pauvrete_60",
                "libelle": "Taux de pauvreté",
                "unite": "%",
                "valeur_contrat": entry.taux_pauvrete,
                "valeur_insee": rates[entry.code_qp],
                "statut_insee": statuses[entry.code_qp],
                "millesime_insee": "2021",
                "ecart": rates[entry.code_qp] - (entry.taux_pauvrete or 0),
                "source_contrat": BESANCON.contrat.source,
            }
            for entry in sorted(BESANCON.contrat.qpv, key=lambda entry: entry.code_qp)
        ]
    )


def _fragile() -> gpd.GeoDataFrame:
    assert BESANCON.contrat is not None
    districts = [district.model_dump() for district in BESANCON.contrat.quartiers_fragiles]
    frame = pd.DataFrame(districts).sort_values("nom", ignore_index=True)
    return gpd.GeoDataFrame(frame.assign(contour=False), geometry=[None] * len(frame), crs=2154)


def spec_of(
    raws: Mapping[str, RawFile | None],
    settings: Settings | None = None,
    territory: Territory = BESANCON,
    formats: tuple[Format, ...] = chosen_formats(),
) -> ReleaseSpec:
    """Return what a release of these raw files is made from."""
    return ReleaseSpec(raws, territory, CATALOGUE, REGISTRY, settings or Settings(), formats)


def content_of(
    frames: Frames, layers: Mapping[str, Layer] | None = None, rounded: Frames | None = None
) -> Content:
    """Return the content of a release of these layers, made from the snapshot."""
    return Content(spec_of(snapshot_raws()), frames, rounded or {}, layers or declared())


def publish(
    settings: Settings,
    made: Inputs,
    *,
    force: bool = False,
    territory: Territory = BESANCON,
    formats: tuple[Format, ...] = chosen_formats(),
) -> Release:
    """Publish what a test made by hand, by the last steps of a refresh."""
    spec = spec_of(made.raws, settings, territory, formats)
    if not force and (restored := restored_release(spec)):
        return restored
    try:
        draft = write_draft(made.layers, made.checks, spec)
        verify_draft(draft)
        return publish_draft(draft, lambda: None)
    finally:
        sweep(spec.folder)


def frames_of(made: Inputs) -> Frames:
    """Return conformed layers, provenance included, as `write_draft` writes them."""
    provenance = {
        "sources": sources_table(made.raws, CATALOGUE, made.checks),
        "controles": checks_table(made.checks),
    }
    return conformed({**made.layers, **provenance})


def conformed(layers: dict[str, pd.DataFrame]) -> Frames:
    return conform(layers, published_layers(REGISTRY), BESANCON.epsg)


def moved(release: Release, settings: Settings) -> Release:
    """Copy the data folder of a release into that of a test."""
    data = release.path.parents[2]
    shutil.copytree(data, settings.data_dir, symlinks=True, dirs_exist_ok=True)
    return replace(release, path=settings.data_dir / release.path.relative_to(data))


def writable_copy(release: Path, target: Path) -> Path:
    """Copy a release so that a test may damage it."""
    shutil.copytree(release, target)
    for path in target.rglob("*"):
        path.chmod(path.stat().st_mode | stat.S_IWUSR)
    return target


@contextmanager
def edit(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a GeoPackage to damage it; the functions that its triggers call are there in name only."""
    with closing(sqlite3.connect(path)) as database:
        for name in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
            database.create_function(name, 1, lambda _: 0)
        yield database
        database.commit()

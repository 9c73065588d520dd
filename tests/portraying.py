"""What the tests of portraits show: the snapshot's release, and a full one with every theme and layer.

Figures of the full one are made up by a fixed rule: they are there to be laid out, never to be published.
"""

import zlib
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from qpv_geo.analysis.bands import qpv_bands
from qpv_geo.analysis.evolution import compare_geographies
from qpv_geo.analysis.facilities import count_facilities
from qpv_geo.analysis.layers import build_layers
from qpv_geo.formats.base import Content
from qpv_geo.formats.fields import published_layers
from qpv_geo.formats.frames import Frames, conform
from qpv_geo.formats.provenance import Raws, checks_table, sources_table
from qpv_geo.ingest.facilities import FacilityTable
from qpv_geo.ingest.registry import Registry
from qpv_geo.ingest.tables import read_tables
from qpv_geo.portraits.pages import FOLDER, INDEX, write_portraits
from qpv_geo.releases.formats import FORMATS
from qpv_geo.settings import Settings
from qpv_geo.territory import Territory
from tests.health import health_layers
from tests.publishing import BESANCON, CATALOGUE, REGISTRY, spec_of, whole_snapshot

_LARGEST = {"%": 100, "": 5, "€": 30_000, "€/m²": 9}
_ZONES = (
    ("commune", "25056"),
    ("epci", "242500361"),
    ("departement", "25"),
    ("ensemble_qpv_epci", "242500361"),
    ("ensemble_qpv_departement", "25"),
    ("ensemble_qpv_region", "27"),
    ("ensemble_qpv", "00"),
)


def snapshot_frames(settings: Settings) -> Frames:
    """Return the layers that a refresh without network publishes."""
    return conform(_layers(settings), published_layers(REGISTRY), BESANCON.epsg)


def _layers(settings: Settings) -> Frames:
    raws = whole_snapshot()
    tables = read_tables(raws, BESANCON, CATALOGUE, REGISTRY, settings)
    layers, found = build_layers(tables, BESANCON, REGISTRY)
    checks = [*tables.checks, *found]
    return layers | {"sources": sources_table(raws, CATALOGUE, checks), "controles": checks_table(checks)}


def without_comparisons(frames: Frames) -> Frames:
    """Leave out what QPV are compared with: charts then show the other QPV."""
    statistics = frames["statistiques"]
    return frames | {"statistiques": statistics[statistics["zone"] == "qpv"]}


def full_frames(settings: Settings, territory: Territory = BESANCON) -> Frames:
    """Return a release that lacks nothing: every theme, zones to compare with, bands, 2015 outlines, IRIS."""
    frames = _layers(settings)
    qpv, communes = frames["qpv"], frames["communes"]
    frames["statistiques"] = _statistics(frames)
    epci = frames["epci"].geometry.iloc[0]
    frames["bande_300m"] = qpv_bands(qpv, territory.bandes, epci)
    layers, added, _ = compare_geographies(qpv, _of_2015(qpv), communes, territory)
    of_qpv = added.set_index("code_qp").reindex(qpv["code_qp"])
    frames["qpv"] = qpv.assign(**{name: of_qpv[name].to_numpy() for name in of_qpv})
    frames |= layers
    frames["qpv_voisins"] = _neighbour(qpv)
    frames["iris"] = _iris(communes[communes["insee_com"] == "25056"])
    frames["equipements"] = _facilities(qpv, communes, territory)
    frames |= {name: frame for name, frame in health_layers(qpv).items() if name != "etablissements_finess"}
    read = frames["sources"]["source"].str.startswith(("insee", "qpv", "communes"))
    frames["sources"] = _all_read(frames["sources"][read])
    return conform(frames, published_layers(REGISTRY), territory.epsg)


def _statistics(frames: Frames) -> pd.DataFrame:
    """Return a value for each zone and indicator; a few are missing, for each reason that there is."""
    zones = [*(("qpv", code) for code in frames["qpv"]["code_qp"]), *_ZONES]
    vintages = {source.id: source.vintage for source in CATALOGUE.sources}
    rows = []
    for indicator in REGISTRY.indicators:
        for zone, code in (pair for pair in zones if pair[0] in indicator.zones):
            seed = zlib.crc32(f"{indicator.id}{zone}{code}".encode())
            status = {0: "secret", 1: "non_significatif", 2: "non_disponible"}.get(seed % 40, "ok")
            value = round((seed % 997) / 997 * _LARGEST.get(indicator.unit, 9_000), 1)
            if indicator.kind == "count":
                value = float(round(value)) * (1 if zone == "qpv" else 12)
            ranked = zone == "qpv" and indicator.qpv_layer and status == "ok"
            rows.append(
                {
                    "zone": zone,
                    "code": code,
                    "indicateur": indicator.id,
                    "millesime": vintages.get(indicator.source, "2021"),
                    "valeur": value if status == "ok" else np.nan,
                    "statut": status,
                    "borne_basse": value * 0.95 if zone == "qpv" and indicator.intervals else np.nan,
                    "borne_haute": value * 1.05 if zone == "qpv" and indicator.intervals else np.nan,
                    "remarque": "Effectif trop faible" if status == "secret" else None,
                    "rang": 1 + seed % 1200 if ranked else pd.NA,
                    "rang_sur": 1200 if ranked else pd.NA,
                    "source": indicator.source,
                    "fichier": "essai.csv",
                    "code_producteur": indicator.id.upper(),
                    "geographie": CATALOGUE["qpv_2024"].geography,
                }
            )
    made = pd.DataFrame(rows)
    true = frames["statistiques"]
    known = set(zip(true["zone"], true["code"], true["indicateur"], strict=True))
    own = [key not in known for key in zip(made["zone"], made["code"], made["indicateur"], strict=True)]
    return pd.concat([true, made[own]], ignore_index=True)


def _neighbour(qpv: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return a QPV of another territory, as if its limit ran just north-east of Planoise."""
    _, _, east, north = qpv.loc[qpv["code_qp"] == "QN02503M"].total_bounds
    return gpd.GeoDataFrame(
        {
            "code_qp": ["QN02599N"],
            "lib_qp": "Le Voisin",
            "insee_com": "25999",
            "lib_com": "Ailleurs",
            "siren_epci": "200000000",
            "distance_territoire_m": 0.0,
            "largeur_bande_m": 300.0,
            "ecart_reparation_m2": np.nan,
        },
        geometry=[shapely.MultiPolygon([shapely.box(east, north, east + 200, north + 150)])],
        crs=qpv.crs,
    )


def _of_2015(qpv: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return outlines of 2015 that the outlines of 2024 have moved away from; two QPV are new."""
    old = qpv[~qpv["code_qp"].str.endswith("N")]
    moved = shapely.buffer(shapely.transform(old.geometry.to_numpy(), lambda points: points + 60.0), -25.0)
    return gpd.GeoDataFrame(
        {
            "code_qp": [f"QP02500{number}" for number in range(3, 3 + len(old))],
            "nom_qp": old["lib_qp"].to_numpy(),
            "commune_qp": "Besançon",
        },
        geometry=[shapely.MultiPolygon([max(shapely.get_parts(shape), key=shapely.area)]) for shape in moved],
        crs=qpv.crs,
    )


def _iris(besancon: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return sixty zones that cover the commune."""
    shape = besancon.geometry.iloc[0]
    west, south, east, north = shape.bounds
    xs, ys = np.linspace(west, east, 11), np.linspace(south, north, 7)
    cells = [
        shapely.box(xs[column], ys[row], xs[column + 1], ys[row + 1])
        for row in range(6)
        for column in range(10)
    ]
    pieces = shapely.intersection(cells, shape)
    kept = pieces[~shapely.is_empty(pieces)]
    return gpd.GeoDataFrame(
        {
            "code_iris": [f"25056{number:04d}" for number in range(len(kept))],
            "nom_iris": [f"IRIS {number}" for number in range(len(kept))],
            "type_iris": "H",
            "insee_com": "25056",
            "nom_com": "Besançon",
            "surface_m2": shapely.area(kept),
            "nb_qpv": 0,
        },
        geometry=kept,
        crs=besancon.crs,
    )


def _facilities(qpv: gpd.GeoDataFrame, communes: gpd.GeoDataFrame, territory: Territory) -> pd.DataFrame:
    """Count facilities on a grid of 200 m, a type after the other."""
    types = pd.DataFrame(
        [
            ("D265", "Médecin généraliste", "Santé"),
            ("D307", "Pharmacie", "Santé"),
            ("D277", "Chirurgien-dentiste", "Santé"),
            ("C107", "École maternelle", "Enseignement"),
            ("C109", "École élémentaire", "Enseignement"),
            ("C201", "Collège", "Enseignement"),
            ("A128", "France Services", "Services publics"),
            ("A122", "Réseau de proximité France Travail", "Services publics"),
        ],
        columns=["type_equipement", "libelle", "domaine"],
    )
    west, south, east, north = qpv.total_bounds
    xs, ys = np.meshgrid(np.arange(west, east, 200.0), np.arange(south, north, 200.0))
    points = pd.DataFrame(
        {
            "type_equipement": np.resize(types["type_equipement"].to_numpy(), xs.size),
            "insee_com": "25056",
            "x": xs.ravel(),
            "y": ys.ravel(),
        }
    )
    besancon = communes.loc[communes["insee_com"] == "25056"].geometry.iloc[0]
    inside = shapely.contains_xy(besancon, points["x"], points["y"])
    return count_facilities(FacilityTable(points[inside], types, "2024"), qpv, communes, territory)[0]


def _all_read(sources: pd.DataFrame) -> pd.DataFrame:
    rows = [
        {
            "source": source.id,
            "theme": source.theme,
            "titre": source.title,
            "producteur": source.publisher,
            "etat": "lue",
            "taille_octets": pd.NA,
            "origine": "live",
            "motif": None,
            "millesime": source.vintage,
            "geographie": source.geography,
            "date_source": source.published,
            "licence": source.licence,
            "licence_url": source.licence_url,
            "mention": f"{source.attribution}, mise à jour du 1er novembre 2025",
            "note": None,
        }
        for source in CATALOGUE.sources
        if source.id.startswith("insee") and source.geography == CATALOGUE["qpv_2024"].geography
    ]
    ours = sources[~sources["source"].isin([row["source"] for row in rows])]
    return pd.concat([ours, pd.DataFrame(rows)], ignore_index=True)


def portray(
    folder: Path,
    frames: Frames,
    registry: Registry = REGISTRY,
    territory: Territory = BESANCON,
    files: tuple[str, ...] = (),
    raws: Raws | None = None,
) -> list[Path]:
    """Write the pages of a release beside some files; return the portraits, then the index."""
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    spec = replace(spec_of(raws or whole_snapshot(), territory=territory, formats=FORMATS), registry=registry)
    write_portraits(folder, Content(spec, frames, {}, published_layers(REGISTRY)))
    pages = [f"{code}.html" for code in frames["qpv"]["code_qp"]] + [INDEX]
    return [folder / FOLDER / page for page in pages]

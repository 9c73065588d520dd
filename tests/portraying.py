"""What the tests of portraits show: the snapshot's release, and a full one with every theme and layer.

Figures of the full one are made up by a fixed rule: they are there to be laid out, never to be published.
"""

import zlib
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from qpv_geo.analysis.bands import qpv_bands
from qpv_geo.analysis.evolution import compare_geographies
from qpv_geo.analysis.layers import build_layers
from qpv_geo.ingest.registry import Indicator, Registry
from qpv_geo.ingest.tables import read_tables
from qpv_geo.publish.frames import Frames
from qpv_geo.publish.portraits import Edition, write_portraits
from qpv_geo.publish.provenance import checks_table, origin_sentence, sources_table
from qpv_geo.settings import Settings
from qpv_geo.territory import Territory
from tests.publishing import BESANCON, CATALOGUE, REGISTRY, declared, snapshot_raws

_JOBS = "insee_demandeurs_emploi"
# Theme, source, label, unit, kind.
_EXTRA = (
    ("Démographie", "insee_demographie", "Part des moins de 25 ans", "%", "rate"),
    ("Démographie", "insee_demographie", "Part des 60 ans ou plus", "%", "rate"),
    ("Démographie", "insee_demographie", "Indice de jeunesse", "", "index"),
    ("Démographie", "insee_demographie", "Part des étrangers dans la population", "%", "rate"),
    ("Démographie", "insee_demographie", "Nombre de ménages", "ménages", "count"),
    ("Démographie", "insee_demographie", "Part des ménages d'une personne", "%", "rate"),
    ("Démographie", "insee_demographie", "Part des ménages de six personnes ou plus", "%", "rate"),
    ("Revenus et pauvreté", "insee_filosofi", "Niveau de vie médian", "€", "median"),
    ("Revenus et pauvreté", "insee_filosofi", "Premier décile du niveau de vie", "€", "amount"),
    ("Revenus et pauvreté", "insee_filosofi", "Neuvième décile du niveau de vie", "€", "amount"),
    ("Revenus et pauvreté", "insee_filosofi", "Rapport interdécile", "", "index"),
    ("Revenus et pauvreté", "insee_filosofi", "Part des prestations sociales dans le revenu", "%", "rate"),
    ("Emploi", _JOBS, "Demandeurs d'emploi des catégories A, B et C", "personnes", "count"),
    ("Emploi", _JOBS, "Part des femmes parmi les demandeurs d'emploi", "%", "rate"),
    ("Emploi", _JOBS, "Part des moins de 26 ans parmi les demandeurs d'emploi", "%", "rate"),
    ("Emploi", "insee_demographie", "Taux d'emploi des 15 à 64 ans", "%", "rate"),
    ("Emploi", "insee_demographie", "Part des emplois précaires", "%", "rate"),
    ("Tissu économique", "insee_entreprises", "Établissements", "établissements", "count"),
    ("Tissu économique", "insee_entreprises", "Créations d'établissements", "établissements", "count"),
    ("Éducation", "insee_education", "Élèves du second degré", "élèves", "count"),
    ("Éducation", "insee_education", "Part des boursiers", "%", "rate"),
    ("Éducation", "insee_brevet", "Taux de réussite au brevet", "%", "rate"),
    ("Éducation", "insee_demographie", "Part des diplômés de niveau inférieur au bac", "%", "rate"),
    ("Éducation", "insee_demographie", "Taux de scolarisation des 15 à 24 ans", "%", "rate"),
    ("Logement", "insee_logement_social", "Logements sociaux", "logements", "count"),
    ("Logement", "insee_logement_social", "Part des logements vacants", "%", "rate"),
    ("Logement", "insee_logement_social", "Taux de mobilité", "%", "rate"),
    ("Logement", "insee_logement_social", "Part des logements de classe E, F ou G", "%", "rate"),
    ("Santé", "insee_cnam", "Bénéficiaires de l'assurance maladie", "personnes", "count"),
    ("Santé", "insee_cnam", "Bénéficiaires de la complémentaire santé solidaire", "personnes", "count"),
    ("Santé", "insee_cnam", "Part des bénéficiaires de la complémentaire santé solidaire", "%", "rate"),
    ("Santé", "insee_cnam", "Part des personnes en affection de longue durée", "%", "rate"),
    ("Prestations sociales", "insee_caf", "Allocataires de la CAF", "allocataires", "count"),
    ("Prestations sociales", "insee_caf", "Allocataires du RSA", "allocataires", "count"),
    ("Prestations sociales", "insee_caf", "Part des allocataires à bas revenus", "%", "rate"),
    ("Prestations sociales", "insee_caf", "Part des allocataires isolés", "%", "rate"),
)  # fmt: skip
_LARGEST = {"%": 100, "": 5, "€": 30_000}
_ZONES = (
    ("commune", "25056"),
    ("epci", "242500361"),
    ("departement", "25"),
    ("ensemble_qpv", "00"),
)


def snapshot_frames(settings: Settings) -> Frames:
    """Return the layers that a refresh without network publishes."""
    raws = snapshot_raws()
    tables = read_tables(raws, BESANCON, CATALOGUE, REGISTRY, settings)
    layers, found = build_layers(tables, BESANCON, REGISTRY)
    checks = [*tables.checks, *found]
    return layers | {"sources": sources_table(raws, CATALOGUE, checks), "controles": checks_table(checks)}


def full_registry() -> Registry:
    """Return the shipped indicators and one of each kind in every theme."""
    known = {indicator.label for indicator in REGISTRY.indicators}
    extra = tuple(
        Indicator(
            id=f"essai_{number}",
            theme=theme,
            label=label,
            unit=unit,
            kind=kind,
            additive=kind == "count",
            source=source,
            codes={"qpv": (f"ESSAI{number}",)},
            qpv_layer=number in {1, 13, 31},
        )
        for number, (theme, source, label, unit, kind) in enumerate(_EXTRA)
        if label not in known
    )
    return Registry(indicators=(*REGISTRY.indicators, *extra))


def full_frames(settings: Settings, territory: Territory = BESANCON) -> Frames:
    """Return a release that lacks nothing: every theme, zones to compare with, bands, 2015 outlines, IRIS."""
    frames = snapshot_frames(settings)
    qpv, communes = frames["qpv"], frames["communes"]
    frames["statistiques"] = _statistics(frames, full_registry())
    epci = frames["epci"].geometry.iloc[0]
    frames["bande_300m"] = qpv_bands(qpv, territory.bandes, epci)
    evolution = compare_geographies(qpv, _of_2015(qpv), communes, territory)
    frames["qpv_2015"], frames["evolution_2015_2024"] = evolution.qpv_2015, evolution.pieces
    frames["iris"] = _iris(communes[communes["insee_com"] == "25056"])
    read = frames["sources"]["source"].str.startswith(("insee", "qpv", "communes"))
    frames["sources"] = _all_read(frames["sources"][read])
    return frames


def _statistics(frames: Frames, registry: Registry) -> pd.DataFrame:
    """Return a value for each zone and indicator; a few are missing, for each reason that there is."""
    zones = [*(("qpv", code) for code in frames["qpv"]["code_qp"]), *_ZONES]
    rows = []
    for indicator in registry.indicators:
        for zone, code in zones:
            seed = zlib.crc32(f"{indicator.id}{zone}{code}".encode())
            status = {0: "secret", 1: "non_significatif", 2: "non_disponible"}.get(seed % 40, "ok")
            value = round((seed % 997) / 997 * _LARGEST.get(indicator.unit, 9_000), 1)
            if indicator.kind == "count":
                value = float(round(value)) * (1 if zone == "qpv" else 12)
            rows.append(
                {
                    "zone": zone,
                    "code": code,
                    "indicateur": indicator.id,
                    "millesime": CATALOGUE[indicator.source].vintage,
                    "valeur": value if status == "ok" else np.nan,
                    "statut": status,
                    "source": indicator.source,
                }
            )
    made = pd.DataFrame(rows)
    true = frames["statistiques"]
    known = set(zip(true["zone"], true["code"], true["indicateur"], strict=True))
    own = [key not in known for key in zip(made["zone"], made["code"], made["indicateur"], strict=True)]
    return pd.concat([true, made[own]], ignore_index=True)


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
        },
        geometry=kept,
        crs=besancon.crs,
    )


def _all_read(sources: pd.DataFrame) -> pd.DataFrame:
    rows = [
        {
            "source": source.id,
            "theme": source.theme,
            "titre": source.title,
            "producteur": source.publisher,
            "etat": "lue",
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
) -> list[Path]:
    """Write the pages of a release."""
    return write_portraits(
        folder,
        frames,
        declared(),
        edition=Edition("2026-01-15-abcdef0123", origin_sentence(snapshot_raws()), tuple(map(Path, files))),
        territory=territory,
        registry=registry,
        catalogue=CATALOGUE,
    )
